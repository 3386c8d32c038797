-- Hand out jobs again, and wake a worker.
-- KEYS[1]    prefix of the queue
-- returns    1 when the queue was paused
--@include wake
--@include types
local P = KEYS[1]

local bad = wrong_type(P, {':paused', 'string', ':wake', 'list'})
if bad then return redis.error_reply(bad) end
local was_paused = redis.call('DEL', P .. ':paused')
wake(P)
return was_paused
