-- Read the latest tick taken for a schedule.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    name of the schedule
-- returns    seconds since the epoch, or nil
return redis.call('HGET', KEYS[1] .. ':ticks', ARGV[1])
