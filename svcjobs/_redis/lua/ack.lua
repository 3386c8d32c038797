-- Remove jobs that are done, and carry out their effects.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    now: seconds since the epoch, '' for the server's clock
-- ARGV[2]    nonce of the client
-- ARGV[3]    number of the request
-- ARGV[4..]  per job: id, lease, number of effects, the effects
-- returns    lines: per job what became of it, stale when the lease isn't current
--@include settle
--@include effects
local P = KEYS[1]
local nonce, number = ARGV[2], ARGV[3]

local bad = wrong_type(P, {':counters', 'hash'})
if bad then return redis.error_reply(bad) end
local reply, abandoned = repeated(P, nonce, number)
if abandoned then return redis.error_reply(abandoned) end
if reply then return reply end
local jobs, ids, keys, seen = {}, {}, {}, {}
local with_effects = false
local at = 4
while at <= #ARGV do
  local job = {at = at}
  job.key, job.unique = held(P, ARGV[at], ARGV[at + 1], seen)
  if job.key then
    ids[#ids + 1] = ARGV[at]
    keys[#keys + 1] = job.key
  end
  jobs[#jobs + 1] = job
  with_effects = with_effects or ARGV[at + 2] ~= '0'
  bad, at = check_effects(P, ARGV, at + 2)
  if bad then return redis.error_reply(bad) end
end
local in_hand
in_hand, bad = read_key('list', 'LLEN', P .. ':processing')
if bad then return redis.error_reply(bad) end
-- in a short list the nearer end doesn't matter
local range = in_hand > 100 and lease_range(P) or {0, math.huge}
local now = with_effects and read_clock(ARGV[1])

-- All jobs first, then all effects: one of them may store a job anew that is done here. The first command removes, and
-- is no other than that of open_full_server. pcall: nothing is written when it fails.
local removed = redis.pcall('ZREM', P .. ':processing_vt', '', unpack(ids))
if type(removed) == 'table' then return redis.error_reply(wrong_type(P, {':processing_vt', 'zset'}) or removed.err) end
local outcomes = {}
for i, job in ipairs(jobs) do
  local id = ARGV[job.at]
  if job.key then
    unlist(P, id, ARGV[job.at + 1], range)
    free_unique(P, job.unique, id)
  end
  outcomes[i] = job.key and 'acked' or 'stale'
end
if #keys > 0 then redis.call('UNLINK', unpack(keys)) end
for _, job in ipairs(jobs) do
  if job.key then apply_effects(P, ARGV, job.at + 2, now) end
end
count(P, 'acked', #ids)
count(P, 'stale', #jobs - #ids)
return remember_reply(P, nonce, number, table.concat(outcomes, '\n'))
