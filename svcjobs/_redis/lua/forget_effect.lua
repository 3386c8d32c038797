-- Drop effects that were relayed, or put those aside that were refused.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    '1' keeps them in `{prefix}:effects:refused`
-- ARGV[2..]  the effects
-- returns    how many were there: another relay may have dropped some first
--@include types
local P = KEYS[1]

local bad = wrong_type(P, {':effects', 'list', ':effects:refused', 'list'})
if bad then return redis.error_reply(bad) end
local dropped = 0
for at = 2, #ARGV do
  if redis.call('LREM', P .. ':effects', 1, ARGV[at]) == 1 then
    dropped = dropped + 1
    if ARGV[1] == '1' then redis.call('RPUSH', P .. ':effects:refused', ARGV[at]) end
  end
end
return dropped
