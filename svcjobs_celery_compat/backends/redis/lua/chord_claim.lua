-- Keep the right to start a chord's body, for longer; take it again when it ran out and nobody else has it.
-- KEYS[1]    who starts the body
-- KEYS[2]    size of the chord
-- ARGV[1]    token of whoever asks
-- ARGV[2]    seconds
-- returns    1, or 0 when another has it, or the body was started
local claim, size = KEYS[1], KEYS[2]
local token, seconds = ARGV[1], ARGV[2]

local owner = redis.call('GET', claim)
if owner == token then return redis.call('EXPIRE', claim, seconds) end
if not owner and redis.call('EXISTS', size) == 1 then
  return redis.call('SET', claim, token, 'NX', 'EX', seconds) and 1 or 0
end
return 0
