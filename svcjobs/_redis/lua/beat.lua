-- Say that a worker lives, and forget those that fell silent long ago.
-- KEYS[1]    prefix of the default queue
-- ARGV[1]    name of the worker
-- ARGV[2]    its state (JSON)
-- ARGV[3]    seconds for which a silent worker is remembered
-- returns    how many workers are known
--@include types
--@include clock
local P = KEYS[1]
local name, state, seconds = ARGV[1], ARGV[2], tonumber(ARGV[3])

local bad = wrong_type(P, {':workers', 'zset'})
if bad then return redis.error_reply(bad) end
local now = read_clock('')
-- first, as a full server takes no script that doesn't begin by removing
redis.call('ZREMRANGEBYSCORE', P .. ':workers', '-inf', exact(now - seconds))
redis.call('ZADD', P .. ':workers', exact(now), name)
redis.call('SET', P .. ':worker:' .. name, state, 'EX', seconds)
redis.call('EXPIRE', P .. ':workers', seconds)
return redis.call('ZCARD', P .. ':workers')
