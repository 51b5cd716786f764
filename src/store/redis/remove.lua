-- Takes a key from a session, and with the last one the session. What has changed is saved if the session stays.
-- KEYS  1: home  2: the place of the key
-- ARGV  1: uuid  2: the key's name  3: time to live in ms, 0 for none  4...: fields as write() takes them
-- Gives how many keys are left.
local home, place, uuid, ttl = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[3])
if place ~= home and redis.call('HGET', place, '->') == home then redis.call('HDEL', place, '->') end
if redis.call('HGET', home, 'uuid') ~= uuid then return 0 end

local left
if redis.call('HDEL', home, '@' .. ARGV[2]) == 1 then
  left = redis.call('HINCRBY', home, 'keys', -1)
else
  left = tonumber(redis.call('HGET', home, 'keys'))
end
if left <= 0 then
  vacate(home)
  return 0
end
if #ARGV > 4 then
  write(home, 4)
  redis.call('HINCRBY', home, 'version', 1)
  expire(home, ttl)
end
return left
