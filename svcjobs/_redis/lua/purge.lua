-- Remove a batch of jobs from one of the queue's places, for good.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    the place: ready, delayed or dlq
-- ARGV[2]    most jobs to remove
-- ARGV[3..]  the ids to remove, with dlq, the oldest first; none for any
-- returns    how many were removed
--@include settle
local P = KEYS[1]
local place, limit = ARGV[1], tonumber(ARGV[2])

local bad = wrong_settle(P)
if bad then return redis.error_reply(bad) end

local function take_from_list(list, wanted)
  return wanted > 0 and redis.call('RPOP', list, wanted) or {}
end

local function take_chosen()
  local ids = {}
  for at = 3, #ARGV do
    if redis.call('LREM', P .. ':dlq', -1, ARGV[at]) == 1 then ids[#ids + 1] = ARGV[at] end
  end
  return ids
end

local function take()
  if #ARGV >= 3 then return take_chosen() end
  if place == 'dlq' then return take_from_list(P .. ':dlq', limit) end
  if place == 'delayed' then
    local ids = redis.call('ZRANGE', P .. ':delayed', 0, limit - 1)
    if #ids > 0 then redis.call('ZREM', P .. ':delayed', unpack(ids)) end
    return ids
  end
  local ids = {}
  for _, list in ipairs(ready_lists(P)) do
    for _, id in ipairs(take_from_list(list, limit - #ids)) do ids[#ids + 1] = id end
  end
  return ids
end

local ids = take()
for _, id in ipairs(ids) do
  local key = P .. ':job:' .. id
  if redis.call('TYPE', key).ok == 'hash' then free_unique(P, redis.call('HGET', key, 'unique'), id) end
  redis.call('UNLINK', key, P .. ':corrupt:' .. id)
end
return #ids
