-- Takes a key from a session, and with the last one the session. What has changed is saved if the session stays.
-- KEYS  1: home  2: the place of the key
-- ARGV  1: uuid  2: the writer  3: the key's name
--       4: time to live in ms, 0 for none  5...: fields as write() takes them
-- Gives how many keys are left, and the version written.
local home, place, uuid, ttl = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[4])
if place ~= home and redis.call('HGET', place, '->') == home then redis.call('HDEL', place, '->') end
local resident, left, leads = unpack(redis.call('HMGET', home, 'uuid', 'keys', '->'))
if resident ~= uuid then return { 0, 0 } end

left = tonumber(left) - redis.call('HEXISTS', home, '@' .. ARGV[3])
if left <= 0 then
  vacate(home, leads, ARGV[2])
  return { 0, 0 }
end
redis.call('HDEL', home, '@' .. ARGV[3])
redis.call('HSET', home, 'keys', left)
if #ARGV > 5 then
  write(home, 5)
  expire(home, ttl)
end
local version = redis.call('HINCRBY', home, 'version', 1)
track(home)
return { left, version }
