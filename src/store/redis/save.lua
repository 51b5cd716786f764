-- Stores a session, or what has changed of one.
-- KEYS  1: home; then the places of the keys to be added, in the order of their names; then those of the other keys
-- ARGV  1: uuid  2: 'create', 'adopt' or 'update'  3: time to live in ms, 0 for none
--       4: how many keys are added; their names; then fields as write() takes them
-- Gives the version written, with the uuid of the session that was adopted; 0 if the session is gone; -1 if home is
-- taken by a session that has other keys.
local home, uuid, mode, ttl, added = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local resident = redis.call('HGET', home, 'uuid')
local adopted = false

if mode == 'update' then
  if resident ~= uuid then return 0 end
elseif resident == uuid then
  redis.call('DEL', home) -- the same first save once more: nobody has heard of the one before
elseif resident then
  local own = redis.call('HEXISTS', home, '@' .. ARGV[5])
  if mode == 'adopt' and own == 1 then
    adopted = resident
  elseif tonumber(redis.call('HGET', home, 'keys')) > own then
    return -1
  else
    redis.call('DEL', home)
  end
end

local new = 0
for i = 1, added do
  local place, field = KEYS[1 + i], '@' .. ARGV[4 + i]
  -- Whoever else has this key loses it. That session may live in another slot of a cluster: then it keeps a key that
  -- leads nowhere, until it expires.
  local to = redis.call('HGET', place, '->') or place
  if to ~= home and redis.pcall('HDEL', to, field) == 1 and redis.pcall('HINCRBY', to, 'keys', -1) == 0 then
    vacate(to)
  end
  if place == home then
    redis.call('HDEL', place, '->')
  else
    redis.call('HSET', place, '->', home)
  end
  new = new + 1 - redis.call('HEXISTS', home, field)
end

write(home, 5 + added)
if adopted then redis.call('HSET', home, 'uuid', adopted) end
if new > 0 then redis.call('HINCRBY', home, 'keys', new) end
local version = redis.call('HINCRBY', home, 'version', 1)
expire(home, ttl)
for i = 2, #KEYS do
  if KEYS[i] ~= home then expire(KEYS[i], ttl) end
end
return adopted and { version, adopted } or version
