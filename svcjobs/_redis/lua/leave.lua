-- Forget a worker that has stopped.
-- KEYS[1]    prefix of the default queue
-- ARGV[1]    name of the worker
-- returns    1, or 0 when it wasn't known
--@include types
local P = KEYS[1]

local bad = wrong_type(P, {':workers', 'zset'})
if bad then return redis.error_reply(bad) end
redis.call('UNLINK', P .. ':worker:' .. ARGV[1])
return redis.call('ZREM', P .. ':workers', ARGV[1])
