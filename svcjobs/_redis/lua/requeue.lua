-- Make dead jobs ready again, without attempts.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    now: seconds since the epoch, '' for the server's clock
-- ARGV[2]    nonce of the client
-- ARGV[3]    number of the request
-- ARGV[4]    '1' searches the dead letter queue from its oldest end
-- ARGV[5..]  ids
-- returns    lines: per id requeued and since when it can be taken, or one word: taken (another job has its unique key), alive (it isn't dead) or missing
--@include settle
local P = KEYS[1]
local nonce, number = ARGV[2], ARGV[3]

local bad = wrong_type(P, {':dlq', 'list', ':counters', 'hash', ':wake', 'list'}) or wrong_ready(P)
if bad then return redis.error_reply(bad) end
local reply, abandoned = repeated(P, nonce, number)
if abandoned then return redis.error_reply(abandoned) end
if reply then return reply end

local groups = {}
local requeued = 0

local function requeue(id)
  local key = P .. ':job:' .. id
  if redis.call('TYPE', key).ok ~= 'hash' then return 'missing' end
  local unique = redis.call('HGET', key, 'unique')
  if redis.call('HEXISTS', key, 'reason') == 1 and not take_unique(P, unique, id) then return 'taken' end
  if redis.call('LREM', P .. ':dlq', ARGV[4] == '1' and -1 or 1, id) == 0 then return 'alive' end
  redis.call('HDEL', key, 'reason', 'dead_at', 'retry_until')
  local available_at = iso(read_clock(ARGV[1]))
  redis.call('HSET', key, 'attempts', '0', 'available_at', available_at)
  group(groups, id, redis.call('HGET', key, 'priority') or '0')
  requeued = requeued + 1
  return 'requeued ' .. available_at
end

open_full_server(P)
local outcomes = {}
for at = 5, #ARGV do outcomes[#outcomes + 1] = requeue(ARGV[at]) end
make_ready(P, groups, false)
count(P, 'requeued', requeued)
return remember_reply(P, nonce, number, table.concat(outcomes, '\n'))
