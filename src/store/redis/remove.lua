-- Takes a key from a session, and with the last one the session. What has changed is saved if the session stays.
-- KEYS  1: home  2: the place of the key
-- ARGV  1: uuid  2: the writer  3: the number, by which it is done once; 0 for none  4: the key's name
--       5: time to live in ms, 0 for none  6...: fields as write() takes them
-- Gives how many keys are left, and the version stored then.
local home, place, uuid, writer, number = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])
local resident, left, version, leads, last = unpack(redis.call('HMGET', home, 'uuid', 'keys', 'version', '->', writer))
if resident == uuid and number > 0 and tonumber(last or 0) >= number then
  return { tonumber(left), tonumber(version) }
end
if place ~= home and redis.call('HGET', place, '->') == home then redis.call('HDEL', place, '->') end
if resident ~= uuid then return { 0, 0 } end

left = tonumber(left) - redis.call('HEXISTS', home, '@' .. ARGV[4])
if left <= 0 then
  vacate(home, leads, writer)
  return { 0, 0 }
end
redis.call('HDEL', home, '@' .. ARGV[4])
if number > 0 then
  redis.call('HSET', home, 'keys', left, writer, ARGV[3])
  if not last then forget_writers(home, writer) end
else
  redis.call('HSET', home, 'keys', left)
end
if #ARGV > 6 then
  write(home, 6)
  expire(home, tonumber(ARGV[5]))
end
version = redis.call('HINCRBY', home, 'version', 1)
track(home)
return { left, version }
