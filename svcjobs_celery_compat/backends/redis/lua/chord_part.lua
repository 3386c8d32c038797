-- Count a member of a chord, once, and give out the right to start its body when it was the last.
-- KEYS[1]    parts: a sorted set by the member's place, or a list
-- KEYS[2]    members that were added later: how many
-- KEYS[3]    size of the chord
-- KEYS[4]    members that were counted: a set of id:place
-- KEYS[5]    the saved group
-- KEYS[6]    who starts the body: a token, or done
-- ARGV[1]    id of the member's task
-- ARGV[2]    its part: what it returned or raised
-- ARGV[3]    1 when parts are sorted by place, 0 when they stay in the order they came in
-- ARGV[4]    the member's place in the chord
-- ARGV[5]    seconds that KEYS[1] to KEYS[4] are kept, 0 for ever
-- ARGV[6]    seconds that the saved group is kept, 0 for ever
-- ARGV[7]    seconds that the right to start the body is kept
-- ARGV[8]    token of whoever asks
-- ARGV[9]    1 when a run of the member that was counted before can't have committed: this one's part replaces its part
-- returns    parts there are, members added later, size, 1 when the body is to be started; parts -1 when it was
local parts, added, size, counted, group, claim = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local id, part, sorted, place = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4]
local seconds, group_seconds = tonumber(ARGV[5]), tonumber(ARGV[6])
local claim_seconds, token, replaces = ARGV[7], ARGV[8], ARGV[9] == '1'

local owner = redis.call('GET', claim)
if owner == 'done' then return {-1, 0, 0, 0} end
local member = id .. ':' .. place
if redis.call('SISMEMBER', counted, member) == 0 then
  if sorted then redis.call('ZADD', parts, place, part) else redis.call('RPUSH', parts, part) end
  redis.call('SADD', counted, member)
elseif replaces and sorted and (not owner or owner == token) then  -- nobody else reads the parts now
  redis.call('ZREMRANGEBYSCORE', parts, place, place)
  redis.call('ZADD', parts, place, part)
end
local there = sorted and redis.call('ZCOUNT', parts, '-inf', '+inf') or redis.call('LLEN', parts)
if seconds > 0 then
  for _, key in ipairs({parts, added, size, counted}) do redis.call('EXPIRE', key, seconds) end
  if group_seconds > 0 then redis.call('EXPIRE', group, group_seconds) end
end
local more, wanted = redis.call('GET', added), redis.call('GET', size)
local claimed = 0
if wanted and there == tonumber(wanted) + tonumber(more or 0) then
  if redis.call('SET', claim, token, 'NX', 'EX', claim_seconds) then claimed = 1 end
end
return {there, more, wanted, claimed}
