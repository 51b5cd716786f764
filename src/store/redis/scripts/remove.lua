-- Takes a key from a session, and with the last one the session. What has changed is saved if the session stays.
-- KEYS  1: home  2: the place of the key, if that is another one
-- ARGV  1: uuid  2: the writer  3: the number, by which it is done once; 0 for none  4: the key's field
--       5: time to live in ms, 0 for none  6...: fields as write() takes them
-- Gives how many keys are left, and the version stored then; 0 if the session is gone.
local home, place, uuid, writer, field = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[4]
local resident, keys, version, leads, by, last, has =
  unpack(redis.call('HMGET', home, 'uuid', 'keys', 'version', '->', 'by', writer, field))
local number = tonumber(ARGV[3])
if resident == uuid and number > 0 and tonumber(last or 0) >= number then
  return { tonumber(keys), tonumber(version) }
end
if place and redis.call('HGET', place, '->') == home then redis.call('HDEL', place, '->') end
if resident ~= uuid then return 0 end

-- What is ordinary: the last key of a session that this writer has made. There is nothing to be left behind.
local left = tonumber(keys) - (has and 1 or 0)
if left <= 0 and not leads and by and string.sub(by, 1, #writer - 1) == string.sub(writer, 2) then
  redis.call('DEL', home)
  return 0
end

-- shared.lua

if left <= 0 then
  vacate(home, leads, writer)
  return 0
end
version = tonumber(version) + 1
redis.call('HDEL', home, field)
if number > 0 then
  redis.call('HSET', home, 'keys', left, 'version', version, writer, ARGV[3])
  if not last then forget_writers(home, writer) end
else
  redis.call('HSET', home, 'keys', left, 'version', version)
end
if #ARGV > 6 then
  write(home, version, 6)
  expire(home, ARGV[5])
end
redis.call('EXISTS', home)
return { left, version }
