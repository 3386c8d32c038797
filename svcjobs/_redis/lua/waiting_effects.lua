-- Read the oldest effects that wait to be relayed to other slots.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    most effects to read
-- returns    the effects
return redis.call('LRANGE', KEYS[1] .. ':effects', 0, tonumber(ARGV[1]) - 1)
