-- Stores a session, or what has changed of one.
-- KEYS  1: home; then the places of the keys to be added; then those of the other keys
-- ARGV  1: uuid  2: 'create', 'adopt' or 'update'  3: time to live in ms, 0 for none
--       4: of a first save what 'by' is to be. Of an update '' or '<version> <0 or 1>': it is done only if that is the
--          version stored. With 1 the writer has lost too often: if it loses again, the next turn is its own.
--       5: how many keys are added  6...: fields as write() takes them. The first ones are those of the added keys, in the
--          order of their places. If the save has a number, by which it is done once, however often it is asked for, the
--          next one is the writer's, with that.
-- Gives the version stored then, with the uuid of the session that was adopted; 0 if the session is gone; -1 if home is
-- taken by a session that has other keys; {-2, fields and values} of what is stored if that is another version.
local home, uuid, mode, ttl, added = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
local vacant = mode ~= 'update' and redis.call('EXISTS', home) == 0

-- Who has the keys now. All reads come before the first write: one that fails must leave nothing half done.
local leads_to = {}
local free = vacant and ttl ~= '0' and #ARGV < 1000
for i = 1, added do
  local place = KEYS[1 + i]
  if place ~= home then
    local to, has = unpack(redis.call('HMGET', place, '->', ARGV[5 + 2 * i]))
    leads_to[i] = to or has and place
    free = free and not leads_to[i]
  end
end

-- What is ordinary: a new session, with keys that nobody has.
if free then
  redis.call('HSET', home, 'uuid', uuid, 'by', ARGV[4], 'keys', ARGV[5], 'version', '1', unpack(ARGV, 7))
  redis.call('PEXPIRE', home, ttl)
  for i = 1, added do
    local place = KEYS[1 + i]
    if place ~= home then
      redis.call('HSET', place, '->', home)
      redis.call('PEXPIRE', place, ttl)
    end
  end
  redis.call('EXISTS', home)
  return 1
end

-- shared.lua

local basis = mode == 'update' and ARGV[4] or ''
local writer, number = ARGV[7 + 2 * added], tonumber(ARGV[8 + 2 * added])
local resident, leads, stored, gone, last
if not vacant then
  resident, leads, stored, gone, last = unpack(redis.call('HMGET', home, 'uuid', '->', 'version', 'gone', writer))
end
local was_done = number and last and tonumber(last) >= number
local fresh, adopted = vacant, false

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
elseif vacant then
  -- nobody is in the way
elseif resident == uuid then
  -- One that was done, and then given up, may have been another save: this one goes on top of it.
  if was_done then return tonumber(stored) end
elseif gone == uuid then
  return 0
elseif not resident then
  if not leads and not gone then return redis.error_reply('WRONGTYPE a hash of others is stored there') end
  fresh = true
elseif mode == 'adopt' and redis.call('HEXISTS', home, ARGV[7]) == 1 then
  if was_done then return { tonumber(stored), resident } end
  adopted = resident
elseif tonumber(redis.call('HGET', home, 'keys')) > redis.call('HEXISTS', home, ARGV[7]) then
  return -1
else
  -- a session that had only this key
  vacate(home, false, writer)
  fresh = true
end

local version, new = fresh and 1 or tonumber(stored) + 1, 0
for i = 1, added do
  local place, field = KEYS[1 + i], ARGV[5 + 2 * i]
  local to = place == home and leads or leads_to[i]
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
  if not fresh and redis.call('HEXISTS', home, field) == 0 then new = new + 1 end
end

write(home, version, 6)
if fresh then
  redis.call('HSET', home, 'uuid', uuid, 'by', ARGV[4], 'keys', ARGV[5])
else
  if mode ~= 'update' and not adopted then redis.call('HSET', home, 'by', ARGV[4]) end
  if new > 0 then redis.call('HINCRBY', home, 'keys', new) end
  if number and not last then forget_writers(home, writer) end
end
if basis ~= '' then redis.call('HDEL', home, '~turn') end
expire(home, ttl)
for i = 2, #KEYS do
  if KEYS[i] ~= home then expire(KEYS[i], ttl) end
end
redis.call('EXISTS', home)
return adopted and { version, adopted } or version
