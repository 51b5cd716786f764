-- Stores a session, or what has changed of one.
-- KEYS  1: home; then the places of the keys to be added, in the order of their names; then those of the other keys
-- ARGV  1: uuid  2: 'create', 'adopt' or 'update'  3: time to live in ms, 0 for none
--       4: '' or, for an update, '<version> <0 or 1>': it is done only if that is the version stored. With 1 the writer
--          has lost too often: if it loses again, the next turn is its own.
--       5: how many keys are added; their names; then fields as write() takes them. If the save has a number, by which it
--          is done once, however often it is asked for, the first one is the writer's, with that.
-- Gives the version stored then, with the uuid of the session that was adopted; 0 if the session is gone; -1 if home is
-- taken by a session that has other keys; {-2, fields and values} of what is stored if that is another version.

-- shared.lua

local home, uuid, mode, ttl, basis, added = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local fields = 6 + added
local writer, number = ARGV[fields + 1], tonumber(ARGV[fields + 2])
local resident, leads, stored, gone, last = unpack(redis.call('HMGET', home, 'uuid', '->', 'version', 'gone', writer))
local was_done = number and last and tonumber(last) >= number
local fresh, adopted, maker = false, false, nil

-- Where the keys lead now. All reads come before the first write: one that fails must leave nothing half done.
local leads_to = {}
for i = 1, added do
  local place = KEYS[1 + i]
  leads_to[i] = place == home and leads or place ~= home and (redis.call('HGET', place, '->') or place)
end

if mode == 'update' then
  if resident ~= uuid then return 0 end
  if was_done then return tonumber(stored) end
  if basis ~= '' then
    local version, insists = string.match(basis, '^(%d+) (%d)$')
    if version ~= stored or is_turn_of_another(home, writer) then
      if insists == '1' then take_turn(home, writer) end
      return { -2, redis.call('HGETALL', home) }
    end
  end
elseif resident == uuid then
  -- One that was done, and then given up, may have been another save: this one goes on top of it.
  if was_done then return tonumber(stored) end
elseif gone == uuid then
  return 0
elseif not resident then
  if not leads and not gone and redis.call('EXISTS', home) == 1 then
    return redis.error_reply('WRONGTYPE a hash of others is stored there')
  end
  fresh = true
elseif mode == 'adopt' and redis.call('HEXISTS', home, '@' .. ARGV[6]) == 1 then
  if was_done then return { tonumber(stored), resident } end
  adopted, maker = resident, redis.call('HGET', home, 'by')
elseif tonumber(redis.call('HGET', home, 'keys')) > redis.call('HEXISTS', home, '@' .. ARGV[6]) then
  return -1
else
  -- a session that had only this key
  vacate(home, false, writer)
  fresh = true
end

local new = 0
for i = 1, added do
  local place, field, to = KEYS[1 + i], '@' .. ARGV[5 + i], leads_to[i]
  -- Whoever else has this key loses it. That session may live in another slot of a cluster: then it keeps a key that
  -- leads nowhere, until it expires.
  if to and to ~= home and redis.pcall('HDEL', to, field) == 1 and redis.pcall('HINCRBY', to, 'keys', -1) == 0 then
    vacate(to, redis.call('HGET', to, '->'), writer)
  end
  if place ~= home then
    redis.call('HSET', place, '->', home)
  elseif leads then
    redis.call('HDEL', place, '->')
  end
  if fresh or redis.call('HEXISTS', home, field) == 0 then new = new + 1 end
end

write(home, fields)
local version = 1
if fresh then
  redis.call('HSET', home, 'keys', new, 'version', version)
else
  if adopted then redis.call('HSET', home, 'uuid', adopted, 'by', maker or '') end
  if new > 0 then redis.call('HINCRBY', home, 'keys', new) end
  version = redis.call('HINCRBY', home, 'version', 1)
  if number and not last then forget_writers(home, writer) end
end
if basis ~= '' then redis.call('HDEL', home, '~turn') end
expire(home, ttl)
for i = 2, #KEYS do
  if KEYS[i] ~= home then expire(KEYS[i], ttl) end
end
track(home)
return adopted and { version, adopted } or version
