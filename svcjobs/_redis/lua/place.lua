-- Tell where a job lies.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    its id
-- returns    ready, delayed, leased or dead; '' when there is no such job
--@include types
--@include dead
local P, id = KEYS[1], ARGV[1]

local bad = wrong_type(P, {':dlq', 'list', ':delayed', 'zset', ':processing_vt', 'zset', ':job:' .. id, 'hash'})
if bad then return redis.error_reply(bad) end

local key = P .. ':job:' .. id
if redis.call('ZSCORE', P .. ':processing_vt', id) then return 'leased' end
if redis.call('ZSCORE', P .. ':delayed', id) then return 'delayed' end
if redis.call('EXISTS', key) == 0 then return '' end
return death_of(P, key, id) and 'dead' or 'ready'
