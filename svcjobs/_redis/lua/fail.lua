-- Let failed jobs wait for their next attempt, or bury them after the last; carry out their effects.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    now: seconds since the epoch, '' for the server's clock
-- ARGV[2]    nonce of the client
-- ARGV[3]    number of the request
-- ARGV[4..]  per job: id, lease, error, traceback, the error as a JSON string, delay in seconds ('' is backoff * attempts),
--            max_attempts and backoff_seconds that the handler set ('' leaves the stored ones), number of effects, the effects
-- returns    lines: per job what became of it, stale when the lease isn't current, cancelled when that was asked for
--@include settle
--@include effects
local P = KEYS[1]
local nonce, number = ARGV[2], ARGV[3]

local bad = wrong_settle(P)
if bad then return redis.error_reply(bad) end
local reply, abandoned = repeated(P, nonce, number)
if abandoned then return redis.error_reply(abandoned) end
if reply then return reply end
local jobs, seen = {}, {}
local at = 4
while at <= #ARGV do
  jobs[#jobs + 1] = {at = at, key = held(P, ARGV[at], ARGV[at + 1], seen)}
  bad, at = check_effects(P, ARGV, at + 8)
  if bad then return redis.error_reply(bad) end
end
local now = read_clock(ARGV[1])
local range = lease_range(P)

-- Limits that the handler changed replace the stored ones.
local function change_limits(job)
  if ARGV[job.at + 6] == '' then return end
  redis.call('HSET', job.key, 'max_attempts', ARGV[job.at + 6], 'backoff_seconds', ARGV[job.at + 7])
end

-- Seconds to the next attempt, or nil after the last one.
local function next_delay(job)
  local stored = redis.call('HMGET', job.key, 'attempts', 'max_attempts', 'backoff_seconds', 'retry_until')
  local attempts, max_attempts = read_whole(stored[1]) or 1, read_whole(stored[2]) or 5
  if attempts >= max_attempts then return nil end
  local delay = read_seconds(ARGV[job.at + 5]) or read_seconds((read_seconds(stored[3]) or 60) * attempts)
  local retry_until = tonumber(stored[4])
  if retry_until and now + delay > retry_until then return nil end
  return delay
end

open_full_server(P)
local outcomes, stale = {}, 0
local retried = 0
for i, job in ipairs(jobs) do
  local id, lease = ARGV[job.at], ARGV[job.at + 1]
  if not job.key then
    outcomes[i] = 'stale'
    stale = stale + 1
  else
    let_go(P, id, lease, range)
    change_limits(job)
    remember_attempt(job.key, ARGV[job.at + 4], now)
    local cancelled = is_cancelled(job.key, lease)
    local delay = not cancelled and next_delay(job)
    if delay then
      redis.call('HSET', job.key, 'last_error', ARGV[job.at + 2])
      wait_unique(P, job.key, id)
      delay_job(P, job.key, id, delay, now)
      retried = retried + 1
    else
      bury_job(P, job.key, id, cancelled and 'cancelled' or 'exhausted', ARGV[job.at + 2], ARGV[job.at + 3], now)
    end
    apply_effects(P, ARGV, job.at + 8, now)
    outcomes[i] = delay and 'retried' or cancelled and 'cancelled' or 'buried'
  end
end
count(P, 'retried', retried)
count(P, 'stale', stale)
return remember_reply(P, nonce, number, table.concat(outcomes, '\n'))
