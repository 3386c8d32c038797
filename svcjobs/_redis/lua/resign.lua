-- Give up the leadership of the schedulers; another owner's is left alone.
-- KEYS[1]    the leader's key, a STRING
-- ARGV[1]    owner: who resigns
-- returns    1 when the owner had it, else 0
local key, owner = KEYS[1], ARGV[1]

local kind = redis.call('TYPE', key).ok
if kind ~= 'string' or redis.call('GET', key) ~= owner then return 0 end
redis.call('DEL', key)
return 1
