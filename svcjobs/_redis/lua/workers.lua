-- Read which workers live, or did a short while ago.
-- KEYS[1]    prefix of the default queue
-- ARGV[1]    most workers to return
-- returns    {now, then per worker, the latest beat first, {its name, seconds since the epoch of that beat, its state}}
--@include types
--@include clock
local P = KEYS[1]

local bad = wrong_type(P, {':workers', 'zset'})
if bad then return redis.error_reply(bad) end
local workers = {exact(read_clock(''))}
local known = redis.call('ZREVRANGE', P .. ':workers', 0, tonumber(ARGV[1]) - 1, 'WITHSCORES')
for i = 1, #known, 2 do
  local key = P .. ':worker:' .. known[i]
  local state = redis.call('TYPE', key).ok == 'string' and redis.call('GET', key)
  if state then workers[#workers + 1] = {known[i], known[i + 1], state} end
end
return workers
