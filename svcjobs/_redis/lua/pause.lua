-- Hand out no more jobs until resume.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    now: seconds since the epoch, '' for the server's clock
-- returns    1
--@include settle
local P = KEYS[1]

local bad = wrong_type(P, {':paused', 'string', ':processing_vt', 'zset'})
if bad then return redis.error_reply(bad) end
open_full_server(P)
redis.call('SET', P .. ':paused', iso(read_clock(ARGV[1])))
return 1
