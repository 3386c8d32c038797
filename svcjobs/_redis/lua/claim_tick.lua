-- Take one tick of a schedule, once among all schedulers, and store its job in the same step.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    now: seconds since the epoch, '' for the server's clock
-- ARGV[2]    nonce of the client
-- ARGV[3]    number of the request
-- ARGV[4]    name of the schedule
-- ARGV[5]    when the tick is due, seconds since the epoch
-- ARGV[6]    most seconds that the tick may lie ahead of now
-- ARGV[7..9] name, payload (JSON) and options of the job; nothing when there is none
-- returns    lines: now, the job's id ('' without one) and 1 or 0 (not stored: a live job has its unique key);
--            '' when this tick or a later one was taken before
--@include request
--@include store
local P = KEYS[1]
local nonce, number = ARGV[2], ARGV[3]

local bad = wrong_type(P, {':ticks', 'hash'}) or wrong_store(P)
if bad then return redis.error_reply(bad) end
local reply, abandoned = repeated(P, nonce, number)
if abandoned then return redis.error_reply(abandoned) end
if reply then return reply end
local options = ARGV[7] and read_options(ARGV[9])
bad = options and refuse_job(P, options, {})
if bad then return redis.error_reply(bad) end
local last = tonumber(redis.call('HGET', P .. ':ticks', ARGV[4]))
if last and last >= tonumber(ARGV[5]) then return '' end
local now = read_clock(ARGV[1])
local ahead = tonumber(ARGV[5]) - now
if ahead > tonumber(ARGV[6]) then return redis.error_reply('SVCJOBS AHEAD ' .. exact(ahead) .. ' ' .. exact(now)) end

redis.call('HSET', P .. ':ticks', ARGV[4], ARGV[5])
local id, created = '', true
if options then
  local groups = {}
  id, created = store_job(P, ARGV[7], ARGV[8], options, now, groups)
  make_ready(P, groups, false)
  count(P, 'enqueued', created and 1 or 0)
end
return remember_reply(P, nonce, number, exact(now) .. '\n' .. id .. '\n' .. (created and '1' or '0'))
