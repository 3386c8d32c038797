-- Cancel jobs: one that waits is dead at once, of one that is leased the wish is noted.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    now: seconds since the epoch, '' for the server's clock
-- ARGV[2]    nonce of the client
-- ARGV[3]    number of the request
-- ARGV[4..]  ids
-- returns    lines: per id cancelled, cancelling (it is leased), dead (for another reason) or missing
--@include settle
--@include dead
local P = KEYS[1]
local nonce, number = ARGV[2], ARGV[3]

local bad = wrong_settle(P)
if bad then return redis.error_reply(bad) end
local reply, abandoned = repeated(P, nonce, number)
if abandoned then return redis.error_reply(abandoned) end
if reply then return reply end
local now = read_clock(ARGV[1])

-- Take a job from where it waits; its own ready list is searched first, a list is searched to its end.
local function take_out(key, id)
  if redis.call('ZREM', P .. ':delayed', id) == 1 then return true end
  if redis.call('LREM', ready_key(P, redis.call('HGET', key, 'priority')), 0, id) > 0 then return true end
  for _, list in ipairs(ready_lists(P)) do
    if redis.call('LREM', list, 0, id) > 0 then return true end
  end
  return false
end

local function cancel(id)
  local key = P .. ':job:' .. id
  if redis.call('TYPE', key).ok ~= 'hash' then return 'missing' end
  local reason = death_of(P, key, id)
  if reason then return reason == 'cancelled' and 'cancelled' or 'dead' end
  local lease = redis.call('HGET', key, 'lease')
  if not lease and take_out(key, id) then
    bury_job(P, key, id, 'cancelled', 'cancelled while it waited', '', now)
    return 'cancelled'
  end
  -- an id on `processing` that was adopted has no token: the next reserve sees the wish
  redis.call('HSET', key, 'cancel', lease or '-')
  return 'cancelling'
end

open_full_server(P)
local outcomes = {}
for at = 4, #ARGV do outcomes[#outcomes + 1] = cancel(ARGV[at]) end
return remember_reply(P, nonce, number, table.concat(outcomes, '\n'))
