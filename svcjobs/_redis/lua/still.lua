-- Say that a worker lives on, and is still what it said last.
-- KEYS[1]    prefix of the default queue
-- ARGV[1]    name of the worker
-- returns    1, or 0 when it isn't known (any more)
--@include clock
local P = KEYS[1]
local name = ARGV[1]

return redis.call('ZADD', P .. ':workers', 'XX', 'CH', exact(read_clock('')), name)
