-- Put leased jobs in the dead letter queue, and carry out their effects.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    now: seconds since the epoch, '' for the server's clock
-- ARGV[2]    nonce of the client
-- ARGV[3]    number of the request
-- ARGV[4..]  per job: id, lease, reason, error, traceback, the error as a JSON string ('' when no
--            attempt was made), number of effects, the effects
-- returns    lines: per job what became of it, stale when the lease isn't current
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
  bad, at = check_effects(P, ARGV, at + 6)
  if bad then return redis.error_reply(bad) end
end
local now = read_clock(ARGV[1])
local range = lease_range(P)

open_full_server(P)
local outcomes, stale = {}, 0
for i, job in ipairs(jobs) do
  local id, lease = ARGV[job.at], ARGV[job.at + 1]
  if not job.key then
    outcomes[i] = 'stale'
    stale = stale + 1
  else
    let_go(P, id, lease, range)
    if ARGV[job.at + 5] ~= '' then remember_attempt(job.key, ARGV[job.at + 5], now) end
    bury_job(P, job.key, id, ARGV[job.at + 2], ARGV[job.at + 3], ARGV[job.at + 4], now)
    apply_effects(P, ARGV, job.at + 6, now)
    outcomes[i] = 'buried'
  end
end
count(P, 'stale', stale)
return remember_reply(P, nonce, number, table.concat(outcomes, '\n'))
