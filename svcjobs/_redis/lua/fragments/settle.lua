--@include types
--@include clock
--@include request
--@include count
--@include ready
--@include unique
-- A full Redis refuses the first write of a script unless it removes something, and lets all later ones pass.
-- So a script that must run on a full Redis starts by removing nothing.
local function open_full_server(P)
  redis.call('ZREM', P .. ':processing_vt', '')
end

-- As wrong_type, for the keys that settling writes.
local function wrong_settle(P)
  return wrong_type(P, {':processing', 'list', ':processing_vt', 'zset', ':leases', 'string', ':counters', 'hash',
    ':delayed', 'zset', ':dlq', 'list', ':wake', 'list'}) or wrong_ready(P)
end

-- The job's key and its unique field when `lease` is the token of its current reservation, else nil. Each id counts
-- once a script. pcall: what is no hash has no lease.
local function held(P, id, lease, seen)
  local key = P .. ':job:' .. id
  local fields = redis.pcall('HMGET', key, 'lease', 'unique')
  if seen[id] or fields[1] ~= lease then return nil end
  seen[id] = true
  return key, fields[2]
end

local function lease_number(lease)
  return tonumber(string.match(lease or '', '^%d+')) or 0
end

-- Lease numbers at both ends of `processing`, to search it from the nearer one. Read before the first write.
local function lease_range(P)
  local newest = tonumber(redis.call('GET', P .. ':leases')) or 0
  local oldest_key = P .. ':job:' .. (redis.call('LINDEX', P .. ':processing', -1) or '')
  if redis.call('TYPE', oldest_key).ok ~= 'hash' then return {0, newest} end
  return {lease_number(redis.call('HGET', oldest_key, 'lease')), newest}
end

-- Take a job off `processing`.
local function unlist(P, id, lease, range)
  local number = lease_number(lease)
  local from_oldest = number - range[1] <= range[2] - number
  redis.call('LREM', P .. ':processing', from_oldest and -1 or 1, id)
end

-- Take a job off `processing` and its leases.
local function let_go(P, id, lease, range)
  redis.call('ZREM', P .. ':processing_vt', id)
  unlist(P, id, lease, range)
end

-- Add the attempt to the job's history; `problem` is the error as a JSON string. The oldest give way past 8 KiB.
local function remember_attempt(key, problem, now)
  local attempt = read_whole(redis.call('HGET', key, 'attempts')) or 0
  local entry = string.format('{"attempt":%d,"at":"%s","error":', attempt, iso(now)) .. problem .. '}'
  local history = redis.call('HGET', key, 'history')
  history = history and (history .. '\n' .. entry) or entry
  while #history > 8192 and string.find(history, '\n', 1, true) do
    history = string.sub(history, string.find(history, '\n', 1, true) + 1)
  end
  redis.call('HSET', key, 'history', history)
end

-- Whether a cancel was asked for of the attempt that has this lease.
local function is_cancelled(key, lease)
  return redis.call('HGET', key, 'cancel') == lease
end

-- Put a job that holds no lease any more in the dead letter queue.
local function bury_job(P, key, id, reason, last_error, traceback, now)
  redis.call('HDEL', key, 'lease', 'lost', 'cancel', 'suspect')
  redis.call('HSET', key, 'reason', reason, 'last_error', last_error, 'dead_at', iso(now))
  if traceback ~= '' then redis.call('HSET', key, 'traceback', traceback) end
  redis.call('LPUSH', P .. ':dlq', id)
  free_unique(P, redis.call('HGET', key, 'unique'), id)
  count(P, 'buried', 1)
  if reason == 'cancelled' then count(P, 'cancelled', 1) end
end

-- Let a job that holds no lease any more wait for `delay` seconds.
local function delay_job(P, key, id, delay, now)
  redis.call('HDEL', key, 'lease', 'suspect')
  redis.call('HSET', key, 'available_at', iso(now + delay))
  redis.call('ZADD', P .. ':delayed', exact(now + delay), id)
  wake_for(P, ':delayed', id, now + delay, now)
end

-- A waiting job takes its `queued` unique key again, if it is still free.
local function wait_unique(P, key, id)
  local unique = redis.call('HGET', key, 'unique')
  if unique and string.sub(unique, 1, 7) == 'queued:' then take_unique(P, unique, id) end
end
