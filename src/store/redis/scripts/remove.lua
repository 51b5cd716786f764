-- Removes a key from a session, and with the last one the session. Saves changes if the session stays.
-- KEYS  1: the primary key  2: the Redis key of the key, if that is another one
-- ARGV  1: uuid  2: the writer  3: the sequence number, by which the script runs once; 0 for none  4: the key's field
--       5: TTL in ms, 0 for none  6...: fields as write() takes them
-- Returns how many keys are left, and the version that is stored then; 0 if the session is gone.
local primary, pointer, uuid, writer, field = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[4]
local stored_uuid, keys, version, leads_to, by, last, has, gone =
  unpack(redis.call('HMGET', primary, 'uuid', 'keys', 'version', '->', 'by', writer, field, 'gone'))
local sequence = tonumber(ARGV[3])
if stored_uuid == uuid and sequence > 0 and tonumber(last or 0) >= sequence then
  return { tonumber(keys), tonumber(version) }
end
if pointer and redis.call('HGET', pointer, '->') == primary then redis.call('HDEL', pointer, '->') end
if stored_uuid ~= uuid then return 0 end

-- The ordinary case: the last key of a session that this writer has made, which needs no tombstone.
local left = tonumber(keys) - (has and 1 or 0)
if left <= 0 and not leads_to and not gone and by and string.sub(by, 1, #writer - 1) == string.sub(writer, 2) then
  redis.call('DEL', primary)
  return 0
end

-- shared.lua

if left <= 0 then
  delete_session(primary, leads_to, writer)
  return 0
end
version = tonumber(version) + 1
redis.call('HDEL', primary, field)
if sequence > 0 then
  redis.call('HSET', primary, 'keys', left, 'version', version, writer, ARGV[3])
  if not last then forget_writers(primary, writer) end
else
  redis.call('HSET', primary, 'keys', left, 'version', version)
end
if #ARGV > 6 then
  write(primary, version, 6)
  expire(primary, ARGV[5])
end
redis.call('EXISTS', primary)
return { left, version }
