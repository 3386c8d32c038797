--@include types
-- Why a job is in the dead letter queue, false when it isn't there, and an error text as a second value when that can't
-- be told. The list is asked, since a hand may have moved the id from there; only a job that died by our hand has a reason,
-- and one of a library before ours, whose reason is '' here, has used up its attempts.
local function death_of(P, key, id)
  local reason, lease, attempts, most = unpack(redis.call('HMGET', key, 'reason', 'lease', 'attempts', 'max_attempts'))
  local is_used_up = attempts and (tonumber(attempts) or 0) >= (tonumber(most) or 1)
  if lease or not (reason or is_used_up) then return false end
  local found, bad = read_key('list', 'LPOS', P .. ':dlq', id)
  return not bad and found and (reason or ''), bad
end
