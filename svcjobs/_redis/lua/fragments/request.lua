--@include types
-- A client retries for seconds, not minutes.
local KEPT_MS = 120000

-- A call that is sent again because its reply was lost carries the same number: it gets the stored reply and changes
-- nothing but the time for which it is kept: so WAIT after a repeat counts the replicas that have the first call's
-- writes, where after a call without a write it would count all. Returns that reply, or nil for a new call; the second result is an error text for a call given up long ago, and for a key that can't be read.
local function repeated(P, nonce, number)
  local last, bad = read_key('string', 'GET', P .. ':req:' .. nonce)
  if not last then return nil, bad end
  local last_number, reply = string.match(last, '^(%d+)\n(.*)$')
  if not last_number or tonumber(last_number) < tonumber(number) then return nil end
  if last_number == number then
    redis.call('PEXPIRE', P .. ':req:' .. nonce, KEPT_MS)
    return reply
  end
  return nil, 'SVCJOBS ABANDONED request ' .. nonce .. '/' .. number .. ' came after a later one'
end

-- Keep the reply for a repeat.
local function remember_reply(P, nonce, number, reply)
  redis.call('SET', P .. ':req:' .. nonce, number .. '\n' .. reply, 'PX', KEPT_MS)
  return reply
end
