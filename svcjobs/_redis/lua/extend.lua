-- Let leases run out later.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    now: seconds since the epoch, '' for the server's clock
-- ARGV[2]    nonce of the client
-- ARGV[3]    number of the request
-- ARGV[4]    seconds from now
-- ARGV[5..]  per job: id, lease
-- returns    lines: per job what became of it, stale when the lease isn't current, cancelled (and extended) when that was asked for
--@include settle
local P = KEYS[1]
local nonce, number = ARGV[2], ARGV[3]

local bad = wrong_settle(P)
if bad then return redis.error_reply(bad) end
local reply, abandoned = repeated(P, nonce, number)
if abandoned then return redis.error_reply(abandoned) end
if reply then return reply end
local jobs = {}
for at = 5, #ARGV, 2 do
  jobs[#jobs + 1] = {at = at, key = held(P, ARGV[at], ARGV[at + 1], {})}
end
local now = read_clock(ARGV[1])

open_full_server(P)
local outcomes = {}
for i, job in ipairs(jobs) do
  local id = ARGV[job.at]
  if not job.key then
    outcomes[i] = 'stale'
  else
    redis.call('ZADD', P .. ':processing_vt', exact(now + tonumber(ARGV[4])), id)
    outcomes[i] = is_cancelled(job.key, ARGV[job.at + 1]) and 'cancelled' or 'extended'
  end
end
return remember_reply(P, nonce, number, table.concat(outcomes, '\n'))
