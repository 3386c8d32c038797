--@include types
-- Why a job is in the dead letter queue, false when it isn't there, and an error text as a second value when that can't
-- be told. A library before ours left no reason, which is '' here; its dead jobs have used up their attempts, and only
-- such a job is looked for in the list.
local function death_of(P, key, id)
  local reason, lease, attempts, most = unpack(redis.call('HMGET', key, 'reason', 'lease', 'attempts', 'max_attempts'))
  if reason then return reason end
  if lease or not attempts or (tonumber(attempts) or 0) < (tonumber(most) or 1) then return false end
  local found, bad = read_key('list', 'LPOS', P .. ':dlq', id)
  return not bad and found and '', bad
end
