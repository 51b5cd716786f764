-- Stores a session, or the changes of one.
-- KEYS  1: the primary key; then the Redis keys of the added keys; then those of the other keys
-- ARGV  1: uuid  2: 'create', 'join' or 'update'; then, each after a space, the numbers of the added keys that take their
--          names also from another dialog. The others with a tag in their value claim them.
--       3: TTL in ms, 0 for none
--       4: of 'create' and 'join' the field 'by'. Of 'update' '', or '<version> <0 or 1>': the save is done only if that
--          version is stored. With 1 the writer has lost too often, and gets the write reservation if it loses again.
--       5: how many keys are added  6...: fields as write() takes them. The first ones are those of the added keys, in the
--          order of their Redis keys. If the save has a sequence number, by which it is done once, the next one is the
--          writer's, with that number.
-- Returns the version that is stored then, with the uuid of the session that was joined; 0 if the session is gone; -1
-- if a session that has other keys is stored at the primary key; {-2, fields and values} if another version is stored;
-- {-3, numbers of added keys} if other dialogs have the names that these claim.
local primary, uuid, ttl, added = KEYS[1], ARGV[1], ARGV[3], tonumber(ARGV[5])
local mode, takes = string.match(ARGV[2], '^(%l+)(.*)$')
local absent = mode ~= 'update' and redis.call('EXISTS', primary) == 0

-- The Redis key of the session that has each added key now. All reads come before the first write: one that fails must
-- leave nothing half done.
local owners = {}
-- (a shorter TTL than that of a tombstone must not end one)
local free = absent and tonumber(ttl) >= 60000 and #ARGV < 1000
for i = 1, added do
  local key = KEYS[1 + i]
  if key ~= primary then
    local pointer, has = unpack(redis.call('HMGET', key, '->', ARGV[5 + 2 * i]))
    owners[i] = pointer or has and key
    free = free and not owners[i]
  end
end

-- The ordinary case: a new session, with keys that no other session has.
if free then
  redis.call('HSET', primary, 'uuid', uuid, 'by', ARGV[4], 'keys', ARGV[5], 'version', '1', unpack(ARGV, 7))
  redis.call('PEXPIRE', primary, ttl)
  for i = 1, added do
    local key = KEYS[1 + i]
    if key ~= primary then
      redis.call('HSET', key, '->', primary)
      redis.call('PEXPIRE', key, ttl)
    end
  end
  redis.call('EXISTS', primary)
  return 1
end

-- shared.lua

local basis = mode == 'update' and ARGV[4] or ''
local writer, sequence = ARGV[7 + 2 * added], tonumber(ARGV[8 + 2 * added])
local stored_uuid, leads_to, stored, gone, last
if not absent then
  stored_uuid, leads_to, stored, gone, last =
    unpack(redis.call('HMGET', primary, 'uuid', '->', 'version', 'gone', writer))
end
local was_done = sequence and last and tonumber(last) >= sequence
local is_own = stored_uuid == uuid
local fresh, joined, replaces = absent, false, false

if mode == 'update' then
  if not is_own then return 0 end
  if was_done then return tonumber(stored) end
  if basis ~= '' then
    local version, wants = string.match(basis, '^(%d+) (%d)$')
    if version ~= stored or is_reserved_by_another(primary, writer) then
      if wants == '1' then reserve(primary, writer) end
      return { -2, redis.call('HGETALL', primary) }
    end
  end
elseif absent then
  -- There is nothing to check.
elseif is_own then
  -- The first save that was done may have been an earlier one with other data, which the engine has given up: then
  -- this one is written over it.
  if was_done then return tonumber(stored) end
elseif gone and string.find(gone, uuid, 1, true) then
  return 0
elseif not stored_uuid then
  if not leads_to and not gone then return redis.error_reply('WRONGTYPE the hash is not one of a session') end
  fresh = true
elseif mode == 'join' and redis.call('HEXISTS', primary, ARGV[7]) == 1 then
  if was_done then return { tonumber(stored), stored_uuid } end
  joined = stored_uuid
else
  replaces = true
end

-- The added keys whose names other dialogs have: keys of other sessions with a tag, unless they wait for the answer to a
-- challenge (the flag '?') and have the same tag. In a cluster such a session may be in another slot: then it loses the name.
local taken = { -3 }
for i = 1, added do
  local field, owner = ARGV[5 + 2 * i], owners[i]
  if KEYS[1 + i] == primary then owner = leads_to or stored_uuid and primary end
  local mine = string.match(ARGV[6 + 2 * i], '^[<>][^ \n]*')
  local claims = mine and not string.find(takes .. ' ', ' ' .. i .. ' ', 1, true)
  if claims and owner and not (is_own and owner == primary) then
    local value, owner_uuid = unpack(redis.pcall('HMGET', owner, field, 'uuid'))
    local leg = value and string.match(value, '^[<>][^\n]*')
    local waits = leg and string.find(leg, ' ?', 1, true) and string.match(leg, '^[^ ]*') == mine
    if leg and owner_uuid ~= uuid and not waits then taken[#taken + 1] = i end
  end
end
if taken[2] then return taken end

if replaces then
  if tonumber(redis.call('HGET', primary, 'keys')) > redis.call('HEXISTS', primary, ARGV[7]) then return -1 end
  -- The session that is stored there has no other key than this one.
  delete_session(primary, false, writer)
  fresh = true
end

local version, new = fresh and 1 or tonumber(stored) + 1, 0
for i = 1, added do
  local key, field = KEYS[1 + i], ARGV[5 + 2 * i]
  local owner = key == primary and leads_to or owners[i]
  -- Another session that has this key loses it. In a cluster that session may be in another slot: then it keeps a key
  -- without a pointer until it expires.
  if owner and owner ~= primary and redis.pcall('HDEL', owner, field) == 1
    and redis.pcall('HINCRBY', owner, 'keys', -1) == 0 then
    delete_session(owner, redis.call('HGET', owner, '->'), writer)
  end
  if key ~= primary then
    redis.call('HSET', key, '->', primary)
  elseif leads_to then
    redis.call('HDEL', key, '->')
  end
  if not fresh and redis.call('HEXISTS', primary, field) == 0 then new = new + 1 end
end

write(primary, version, 6)
if fresh then
  redis.call('HSET', primary, 'uuid', uuid, 'by', ARGV[4], 'keys', ARGV[5])
else
  if mode ~= 'update' and not joined then redis.call('HSET', primary, 'by', ARGV[4]) end
  if new > 0 then redis.call('HINCRBY', primary, 'keys', new) end
  if sequence and not last then forget_writers(primary, writer) end
end
if basis ~= '' then redis.call('HDEL', primary, '~reserved') end
expire(primary, ttl)
for i = 2, #KEYS do
  if KEYS[i] ~= primary then expire(KEYS[i], ttl) end
end
redis.call('EXISTS', primary)
return joined and { version, joined } or version
