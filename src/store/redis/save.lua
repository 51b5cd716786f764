-- Stores a session, or what has changed of one.
-- KEYS  1: home; then the places of the keys to be added, in the order of their names; then those of the other keys
-- ARGV  1: uuid  2: 'create', 'adopt' or 'update'  3: time to live in ms, 0 for none
--       4: '' or, for an update, '<version> <writer> <number> <0 or 1>': it is done only if that is the version stored, and
--          once, however often the writer asks for it by that number. With 1 the writer has lost too often: if it loses
--          again, the next turn is its own.
--       5: how many keys are added; their names; then fields as write() takes them
-- Gives the version written, with the uuid of the session that was adopted; 0 if the session is gone; -1 if home is
-- taken by a session that has other keys; {-2, fields and values} of what is stored if that is another version.
local home, uuid, mode, ttl, added = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[5])
local resident, leads, stored, gone = unpack(redis.call('HMGET', home, 'uuid', '->', 'version', 'gone'))
local basis, writer, number, insists = string.match(ARGV[4], '^(%d+) (%S+) (%d+) (%d)$')
local fresh, adopted = false, false

-- Where the keys lead now. All reads come before the first write: one that fails must leave nothing half done.
local leads_to = {}
for i = 1, added do
  local place = KEYS[1 + i]
  leads_to[i] = place == home and leads or place ~= home and (redis.call('HGET', place, '->') or place)
end

if mode == 'update' then
  if resident ~= uuid then return 0 end
  if basis and (basis ~= stored or is_turn_of_another(home, writer)) then
    local done, version = string.match(redis.call('HGET', home, '~' .. writer) or '', '^(%d+) (%d+)$')
    if done == number then return tonumber(version) end
    if insists == '1' then take_turn(home, writer) end
    return { -2, redis.call('HGETALL', home) }
  end
elseif gone == uuid then
  return 0
elseif not resident then
  if not leads and not gone and redis.call('EXISTS', home) == 1 then
    return redis.error_reply('WRONGTYPE a hash of others is stored there')
  end
  fresh = true
elseif resident ~= uuid and mode == 'adopt' and redis.call('HEXISTS', home, '@' .. ARGV[6]) == 1 then
  adopted = resident
elseif
  resident ~= uuid
  and tonumber(redis.call('HGET', home, 'keys')) > redis.call('HEXISTS', home, '@' .. ARGV[6])
then
  return -1
else
  -- a session that had only this key
  redis.call('DEL', home)
  fresh = true
end

local new = 0
for i = 1, added do
  local place, field, to = KEYS[1 + i], '@' .. ARGV[5 + i], leads_to[i]
  -- Whoever else has this key loses it. That session may live in another slot of a cluster: then it keeps a key that
  -- leads nowhere, until it expires.
  if to and to ~= home and redis.pcall('HDEL', to, field) == 1 and redis.pcall('HINCRBY', to, 'keys', -1) == 0 then
    vacate(to, redis.call('HGET', to, '->'))
  end
  if place ~= home then
    redis.call('HSET', place, '->', home)
  elseif leads then
    redis.call('HDEL', place, '->')
  end
  if fresh or redis.call('HEXISTS', home, field) == 0 then new = new + 1 end
end

write(home, 5 + added + 1)
local version = 1
if fresh then
  redis.call('HSET', home, 'keys', new, 'version', version)
  if gone then redis.call('HDEL', home, 'gone') end
else
  if adopted then redis.call('HSET', home, 'uuid', adopted) end
  if new > 0 then redis.call('HINCRBY', home, 'keys', new) end
  version = redis.call('HINCRBY', home, 'version', 1)
end
if basis then
  redis.call('HDEL', home, '~turn')
  if redis.call('HSET', home, '~' .. writer, number .. ' ' .. version) == 1 then forget_writers(home, writer) end
end
expire(home, ttl)
for i = 2, #KEYS do
  if KEYS[i] ~= home then expire(KEYS[i], ttl) end
end
track(home)
return adopted and { version, adopted } or version
