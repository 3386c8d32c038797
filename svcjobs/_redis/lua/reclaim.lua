-- Move jobs whose lease ran out to the ready lists.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    now: seconds since the epoch, '' for the server's clock
-- ARGV[2]    most jobs to move
-- returns    how many were moved
--@include sweep
local P = KEYS[1]

local bad = wrong_settle(P)
if bad then return redis.error_reply(bad) end
return reclaim(P, read_clock(ARGV[1]), tonumber(ARGV[2]))
