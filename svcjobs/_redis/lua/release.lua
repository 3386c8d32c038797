-- Give leased jobs back unrun, to the front of the line unless charged or delayed.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    now: seconds since the epoch, '' for the server's clock
-- ARGV[2]    nonce of the client
-- ARGV[3]    number of the request
-- ARGV[4..]  per job: id, lease, delay in seconds, '1' when the attempt counts, '' when the lease wasn't one (a verdict),
--            '1' when it is a suspect
-- returns    lines: per job what became of it, stale when the lease isn't current, cancelled when that was asked for
--@include settle
local P = KEYS[1]
local nonce, number = ARGV[2], ARGV[3]

local bad = wrong_settle(P)
if bad then return redis.error_reply(bad) end
local reply, abandoned = repeated(P, nonce, number)
if abandoned then return redis.error_reply(abandoned) end
if reply then return reply end
local jobs, seen = {}, {}
for at = 4, #ARGV, 5 do
  jobs[#jobs + 1] = {at = at, key = held(P, ARGV[at], ARGV[at + 1], seen)}
end
local now = read_clock(ARGV[1])
local range = lease_range(P)

open_full_server(P)
local outcomes, stale = {}, 0
local front, back = {}, {}
local released = 0
for i, job in ipairs(jobs) do
  local id, lease = ARGV[job.at], ARGV[job.at + 1]
  if not job.key then
    outcomes[i] = 'stale'
    stale = stale + 1
  elseif is_cancelled(job.key, lease) then
    let_go(P, id, lease, range)
    remember_attempt(job.key, '"cancelled while a worker had it"', now)
    bury_job(P, job.key, id, 'cancelled', 'cancelled while a worker had it', '', now)
    outcomes[i] = 'cancelled'
  else
    let_go(P, id, lease, range)
    local charged, delay = ARGV[job.at + 3] == '1', tonumber(ARGV[job.at + 2])
    local attempts = read_whole(redis.call('HGET', job.key, 'attempts'))
    if ARGV[job.at + 3] == '0' and attempts and attempts > 0 then redis.call('HSET', job.key, 'attempts', attempts - 1) end
    wait_unique(P, job.key, id)
    if delay > 0 then
      delay_job(P, job.key, id, delay, now)
    else
      redis.call('HDEL', job.key, 'lease', 'suspect')
      group(charged and back or front, id, redis.call('HGET', job.key, 'priority') or '0')
    end
    if ARGV[job.at + 4] == '1' then redis.call('HSET', job.key, 'suspect', '1') end
    outcomes[i] = 'released'
    released = released + 1
  end
end
make_ready(P, front, true)
make_ready(P, back, false)
count(P, 'released', released)
count(P, 'stale', stale)
return remember_reply(P, nonce, number, table.concat(outcomes, '\n'))
