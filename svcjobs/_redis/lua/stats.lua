-- Read how much lies where, as one picture.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    now: seconds since the epoch, '' for the server's clock
-- returns    {now, delayed, in flight, dead, paused, next delayed, {per ready list its priority, length, available_at
--            of its oldest job}, totals as a flat list}
--@include settle
local P = KEYS[1]

local bad = wrong_type(P, {':paused', 'string'}) or wrong_settle(P)
if bad then return redis.error_reply(bad) end

local function due_since(id)
  local key = P .. ':job:' .. (id or '')
  return redis.call('TYPE', key).ok == 'hash' and redis.call('HGET', key, 'available_at') or ''
end

local ready = {}
for _, list in ipairs(ready_lists(P)) do
  ready[#ready + 1] = string.match(list, ':ready:(%d)$') or '0'
  ready[#ready + 1] = redis.call('LLEN', list)
  ready[#ready + 1] = due_since(redis.call('LINDEX', list, -1))
end
return {exact(read_clock(ARGV[1])), redis.call('ZCARD', P .. ':delayed'), redis.call('LLEN', P .. ':processing'),
  redis.call('LLEN', P .. ':dlq'), redis.call('EXISTS', P .. ':paused'),
  redis.call('ZRANGE', P .. ':delayed', 0, 0, 'WITHSCORES')[2] or '', ready, redis.call('HGETALL', P .. ':counters')}
