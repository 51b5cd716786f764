-- Removes a session with all of its keys.
-- KEYS  1: home; then the places of the keys it is known to have
-- ARGV  1: uuid  2: the writer
-- Gives the fields of all keys that it had ('@' and the name), so that the caller can remove places it did not know.

-- shared.lua

local home = KEYS[1]
local fields = {}
if redis.call('HGET', home, 'uuid') == ARGV[1] then
  for _, field in ipairs(redis.call('HKEYS', home)) do
    if string.sub(field, 1, 1) == '@' then fields[#fields + 1] = field end
  end
  vacate(home, redis.call('HGET', home, '->'), ARGV[2])
end
for i = 2, #KEYS do
  if KEYS[i] ~= home and redis.call('HGET', KEYS[i], '->') == home then redis.call('HDEL', KEYS[i], '->') end
end
return fields
