-- Carry out one effect that was kept for another slot, once.
-- KEYS[1]    the effect's own key, or the prefix of the queue it enqueues to
-- ARGV[1]    now: seconds since the epoch, '' for the server's clock
-- ARGV[2]    key, in the slot of KEYS[1], that marks the effect as done
-- ARGV[3..8] 1 and the effect's five arguments
-- returns    1 when it was carried out, 0 when it had been before
--@include effects
local bad = check_effects(KEYS[1], ARGV, 3)
if bad then return redis.error_reply(bad) end
if not redis.call('SET', ARGV[2], '1', 'NX', 'EX', 86400) then return 0 end
apply_effects(KEYS[1], ARGV, 3, read_clock(ARGV[1]))
return 1
