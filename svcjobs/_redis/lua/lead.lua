-- Take the leadership of the schedulers if nobody has it, or renew it.
-- KEYS[1]    the leader's key, a STRING
-- ARGV[1]    owner: who asks
-- ARGV[2]    lease in milliseconds
-- returns    1 when the owner leads now, else 0
local key, owner, lease_ms = KEYS[1], ARGV[1], ARGV[2]

local kind = redis.call('TYPE', key).ok
if kind ~= 'none' and kind ~= 'string' then
  return redis.error_reply('SVCJOBS CORRUPT ' .. key .. ' is a ' .. kind .. ', expected a string')
end
local leader = redis.call('GET', key)
if leader and leader ~= owner then return 0 end
redis.call('SET', key, owner, 'PX', lease_ms)
return 1
