-- What the scripts share. A Redis key ("place") is a hash. In it may be
--   '->'                            where the key of this name leads, if it does not lead here
--   'uuid', 'keys', 'version', ...  the session that lives here, if there is one
--   '~<writer>'                     the number of that writer's last write: one that has a lower one was done before
--   '~turn'                         whose turn the next conditional save is, and until when (ms since 1970)
--   'by'                            the writer that has stored the session for the first time, and the number of that
--   'gone'                          the uuid of one that has lived here, for those who may still be storing it
-- The scripts are told a writer as '~<writer>'. They do what is ordinary before they come to these functions, which are
-- made anew in each run. One that leaves a session ends with EXISTS: the server tells a connection of changes to what it
-- has read since it last wrote it.
-- docs/storage.md has the whole layout.

-- How long a trace of a session that has ended is kept, ms: longer than anybody repeats a first save.
local TRACE = 60000

-- How long a turn lasts at most, ms: for one round trip.
local TURN = 50

local function milliseconds()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

-- Removes the session that lives at a place. `to` is where the place's own key leads instead, if it does: that stays.
-- Where another writer than `writer` has stored it, its uuid is left there while the session is so young that its first
-- save may be repeated: that writer may not have heard that it was done, as long as it has written nothing else.
local function vacate(place, to, writer)
  local left = to and redis.call('PTTL', place)
  local gone
  local uuid, by, ttl = unpack(redis.call('HMGET', place, 'uuid', 'by', 'ttl'))
  local maker, first = string.match(by or '', '^(%S+) (%d+)$')
  if maker and '~' .. maker ~= writer and (redis.call('HGET', place, '~' .. maker) or first) == first then
    local at = string.match(ttl or '', '@(%d+)')
    if at and milliseconds() - tonumber(at) < TRACE then gone = uuid end
  end
  redis.call('DEL', place)
  if gone then
    redis.call('HSET', place, 'gone', gone)
    redis.call('PEXPIRE', place, TRACE)
  end
  if to then
    redis.call('HSET', place, '->', to)
    if left > 0 then redis.call('PEXPIRE', place, left) else redis.call('PERSIST', place) end
  end
end

-- Sets the version and other fields of the session at home, and deletes some: ARGV[at] is how many strings of field and
-- value follow; what comes after those are fields to be deleted.
local function write(home, version, at)
  local last = at + tonumber(ARGV[at])
  for from = at + 1, last, 1000 do
    redis.call('HSET', home, 'version', version, unpack(ARGV, from, math.min(from + 999, last)))
  end
  for from = last + 1, #ARGV, 1000 do
    redis.call('HDEL', home, unpack(ARGV, from, math.min(from + 999, #ARGV)))
  end
end

local function expire(place, ttl)
  if ttl ~= '0' then redis.call('PEXPIRE', place, ttl) else redis.call('PERSIST', place) end
end

-- Conditional saves of several writers: whoever has lost often gets a turn, else the one that is nearest always wins.
local function is_turn_of_another(home, writer)
  local owner, till = string.match(redis.call('HGET', home, '~turn') or '', '^(%S+) (%d+)$')
  return owner and owner ~= writer and milliseconds() < tonumber(till)
end

local function take_turn(home, writer)
  if not is_turn_of_another(home, writer) then
    redis.call('HSET', home, '~turn', writer .. ' ' .. string.format('%d', milliseconds() + TURN))
  end
end

-- Keeps at most 16 writers besides one: a number is needed only until its writer has heard that the write was done.
local function forget_writers(home, one)
  local writers = {}
  for _, field in ipairs(redis.call('HKEYS', home)) do
    if string.sub(field, 1, 1) == '~' and field ~= '~turn' and field ~= one then writers[#writers + 1] = field end
  end
  if #writers > 16 then redis.call('HDEL', home, unpack(writers, 17)) end
end
