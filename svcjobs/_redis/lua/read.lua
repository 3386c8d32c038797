-- Read stored jobs: those of some ids, or a page of one of the queue's places.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    the place: ready, delayed, leased, dead, or oldest (the dead from their oldest end); '' to read the ids
-- ARGV[2]    how many jobs of the place to pass over
-- ARGV[3]    most jobs to read, in a page
-- ARGV[4..]  ids
-- returns    per job {id, type of its key, fields of its hash}
--@include types
--@include ready
local P = KEYS[1]
local place, offset, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local bad = wrong_ready(P) or wrong_type(P, {':dlq', 'list', ':delayed', 'zset', ':processing', 'list'})
if bad then return redis.error_reply(bad) end

-- from the right, where jobs are taken, and the oldest lease and the oldest dead job are
local function from_right(lists)
  local ids = {}
  for _, list in ipairs(lists) do
    local length = redis.call('LLEN', list)
    if offset < length and #ids < limit then
      local page = redis.call('LRANGE', list, math.max(0, length - offset - limit + #ids), length - offset - 1)
      for i = #page, 1, -1 do ids[#ids + 1] = page[i] end
    end
    offset = math.max(0, offset - length)
  end
  return ids
end

local function page()
  if limit < 1 then return {} end
  if place == 'ready' then return from_right(ready_lists(P)) end
  if place == 'leased' then return from_right({P .. ':processing'}) end
  if place == 'oldest' then return from_right({P .. ':dlq'}) end
  if place == 'delayed' then return redis.call('ZRANGE', P .. ':delayed', offset, offset + limit - 1) end
  return redis.call('LRANGE', P .. ':dlq', offset, offset + limit - 1)
end

local ids = {}
if place == '' then
  for i = 4, #ARGV do ids[#ids + 1] = ARGV[i] end
else
  ids = page()
end
local jobs = {}
for _, id in ipairs(ids) do
  local key = P .. ':job:' .. id
  local kind = redis.call('TYPE', key).ok
  jobs[#jobs + 1] = {id, kind, kind == 'hash' and redis.call('HGETALL', key) or {}}
end
return jobs
