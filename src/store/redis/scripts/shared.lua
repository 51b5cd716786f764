-- The functions that the scripts share. docs/storage.md has the layout of the hashes. These fields matter here:
--   '->'                            the Redis key that the key of this name leads to, if the session is stored elsewhere
--   'uuid', 'keys', 'version', ...  the session that is stored here, if there is one
--   '~<writer>'                     the sequence number of that writer's last write: it has done all lower ones
--   '~reserved'                     the write reservation: a writer, and its end in ms since 1970
--   'by'                            the writer of the first save, and the sequence number of that save
--   'gone'                          the tombstone: the uuids of sessions that were stored here, with spaces between
-- The arguments name a writer as '~<writer>'. A script handles the ordinary case before it comes to these functions,
-- since Redis creates them anew in each run. A script that leaves a session in place ends with EXISTS: Redis sends an
-- invalidation only to connections that have read the key since its last change.

-- How long a tombstone stays, ms: longer than a first save is repeated.
local TOMBSTONE = 60000

-- How long a write reservation lasts, ms: one round trip.
local RESERVATION = 50

local function milliseconds()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

-- Restarts a TTL in ms, '0' for none. A tombstone that is at the key too stays as long as it would alone.
local function expire(key, ttl)
  if ttl ~= '0' and tonumber(ttl) < TOMBSTONE and redis.call('HEXISTS', key, 'gone') == 1 then ttl = TOMBSTONE end
  if ttl ~= '0' then redis.call('PEXPIRE', key, ttl) else redis.call('PERSIST', key) end
end

-- Deletes the session at a Redis key. `pointer` is the value of '->' there, which stays. Leaves a tombstone if another
-- writer than `writer` has made the session, has not written it since, and may still repeat its first save, because it
-- has not got the reply.
local function delete_session(key, pointer, writer)
  local remaining = pointer and redis.call('PTTL', key)
  -- that of a session which was stored here before stays
  local uuid, by, ttl, gone = unpack(redis.call('HMGET', key, 'uuid', 'by', 'ttl', 'gone'))
  local maker, first = string.match(by or '', '^(%S+) (%d+)$')
  if maker and '~' .. maker ~= writer and (redis.call('HGET', key, '~' .. maker) or first) == first then
    local at = string.match(ttl or '', '@(%d+)')
    if at and milliseconds() - tonumber(at) < TOMBSTONE then gone = gone and gone .. ' ' .. uuid or uuid end
  end
  redis.call('DEL', key)
  if gone then
    redis.call('HSET', key, 'gone', gone)
    redis.call('PEXPIRE', key, TOMBSTONE)
  end
  if pointer then
    redis.call('HSET', key, '->', pointer)
    expire(key, remaining > 0 and remaining or '0')
  end
end

-- Sets the version and other fields of the session at `primary`, and deletes some. ARGV[at] is how many of the next
-- arguments are fields and values to be set; the fields after those are deleted.
local function write(primary, version, at)
  local last = at + tonumber(ARGV[at])
  for from = at + 1, last, 1000 do
    redis.call('HSET', primary, 'version', version, unpack(ARGV, from, math.min(from + 999, last)))
  end
  for from = last + 1, #ARGV, 1000 do
    redis.call('HDEL', primary, unpack(ARGV, from, math.min(from + 999, #ARGV)))
  end
end

-- A writer that has often lost a compare-and-set reserves the next one. Otherwise the writer nearest to the server
-- would always win.
local function is_reserved_by_another(primary, writer)
  local owner, till = string.match(redis.call('HGET', primary, '~reserved') or '', '^(%S+) (%d+)$')
  return owner and owner ~= writer and milliseconds() < tonumber(till)
end

local function reserve(primary, writer)
  if not is_reserved_by_another(primary, writer) then
    redis.call('HSET', primary, '~reserved', writer .. ' ' .. string.format('%d', milliseconds() + RESERVATION))
  end
end

-- Keeps at most 16 writers besides `writer`. A sequence number is needed only until its writer has got the reply.
local function forget_writers(primary, writer)
  local writers = {}
  for _, field in ipairs(redis.call('HKEYS', primary)) do
    if string.sub(field, 1, 1) == '~' and field ~= '~reserved' and field ~= writer then writers[#writers + 1] = field end
  end
  if #writers > 16 then redis.call('HDEL', primary, unpack(writers, 17)) end
end
