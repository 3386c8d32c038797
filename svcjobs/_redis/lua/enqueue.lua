-- Store jobs and make them ready, or let them wait for their time.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    now: seconds since the epoch, '' for the server's clock
-- ARGV[2]    nonce of the client
-- ARGV[3]    number of the request
-- ARGV[4..]  per job: name, payload (JSON), options (lines of name=value)
-- returns    lines: now, then per job its id and 1 (new) or 0 (a live job has the same id or unique key)
--@include request
--@include store
local P = KEYS[1]
local nonce, number = ARGV[2], ARGV[3]

local bad = wrong_store(P)
if bad then return redis.error_reply(bad) end
local reply, abandoned = repeated(P, nonce, number)
if abandoned then return redis.error_reply(abandoned) end
if reply then return reply end
local seen = {}
for i = 4, #ARGV, 3 do
  bad = refuse_job(P, read_options(ARGV[i + 2]), seen)
  if bad then return redis.error_reply(bad) end
end

local now = read_clock(ARGV[1])
local lines = {exact(now)}
local groups = {}
local created = 0
for i = 4, #ARGV, 3 do
  local id, is_new = store_job(P, ARGV[i], ARGV[i + 1], read_options(ARGV[i + 2]), now, groups)
  lines[#lines + 1] = id
  lines[#lines + 1] = is_new and '1' or '0'
  if is_new then created = created + 1 end
end
make_ready(P, groups, false)
count(P, 'enqueued', created)
return remember_reply(P, nonce, number, table.concat(lines, '\n'))
