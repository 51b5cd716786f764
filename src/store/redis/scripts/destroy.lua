-- Removes a session with all of its keys.
-- KEYS  1: the primary key; then the Redis keys of the other keys that the caller knows
-- ARGV  1: uuid  2: the writer
-- Returns the fields of all keys that the session had ('@' and the name), so that the caller can remove pointers that it
-- did not know.

-- shared.lua

local primary = KEYS[1]
local fields = {}
if redis.call('HGET', primary, 'uuid') == ARGV[1] then
  for _, field in ipairs(redis.call('HKEYS', primary)) do
    if string.sub(field, 1, 1) == '@' then fields[#fields + 1] = field end
  end
  delete_session(primary, redis.call('HGET', primary, '->'), ARGV[2])
end
for i = 2, #KEYS do
  if KEYS[i] ~= primary and redis.call('HGET', KEYS[i], '->') == primary then redis.call('HDEL', KEYS[i], '->') end
end
return fields
