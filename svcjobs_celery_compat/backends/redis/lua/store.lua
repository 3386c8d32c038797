-- Store a result, and tell whoever waits for it.
-- KEYS[1]    where it is stored, and the channel
-- ARGV[1]    the result
-- ARGV[2]    seconds that it is kept, 0 for ever
local key, value, seconds = KEYS[1], ARGV[1], tonumber(ARGV[2])

if seconds > 0 then redis.call('SET', key, value, 'EX', seconds) else redis.call('SET', key, value) end
redis.call('PUBLISH', key, value)
