-- Idle workers sleep no longer than this, in seconds: what is due later needs no token.
local LONGEST_SLEEP = 2

-- Let one idle worker look. One token is enough: a worker that leaves work behind passes it on.
local function wake(P)
  if redis.call('EXISTS', P .. ':wake') == 0 then redis.call('LPUSH', P .. ':wake', '1') end
end

-- Wake a worker whose sleep would outlast a job that has become the next one due in the set.
local function wake_for(P, set, id, due_at, now)
  if due_at - now < LONGEST_SLEEP and redis.call('ZRANGE', P .. set, 0, 0)[1] == id then wake(P) end
end
