-- What the scripts share. A Redis key ("place") is a hash. In it may be
--   '->'                            where the key of this name leads, if it does not lead here
--   'uuid', 'keys', 'version', ...  the session that lives here, if there is one
-- docs/storage.md has the whole layout.

-- Removes the session that lives at a place. `to` is where the place's own key leads instead, if it does: that stays.
local function vacate(place, to)
  local left = to and redis.call('PTTL', place)
  redis.call('DEL', place)
  if to then
    redis.call('HSET', place, '->', to)
    if left > 0 then redis.call('PEXPIRE', place, left) end
  end
end

-- Sets and deletes fields of the session at home: ARGV[at] is how many strings of field and value follow; what comes
-- after those are fields to be deleted.
local function write(home, at)
  local last = at + tonumber(ARGV[at])
  for from = at + 1, last, 1000 do
    redis.call('HSET', home, unpack(ARGV, from, math.min(from + 999, last)))
  end
  for from = last + 1, #ARGV, 1000 do
    redis.call('HDEL', home, unpack(ARGV, from, math.min(from + 999, #ARGV)))
  end
end

local function expire(place, ttl)
  if ttl > 0 then redis.call('PEXPIRE', place, ttl) else redis.call('PERSIST', place) end
end
