-- Tell when a reserve of each of some queues will find something to do.
-- KEYS[1]    prefix of the first queue
-- ARGV[1]    now: seconds since the epoch, '' for the server's clock
-- ARGV[2..]  prefixes of the others, on the same server, which is no cluster
-- returns    per queue the seconds until then: '0' at once, '' when nothing waits for its time
--@include clock
local now = read_clock(ARGV[1])

-- pcall: with a key of another type there is something to do at once, as the reserve will say what is wrong.
local function seconds_to_due(P)
  local ready, effects = P .. ':ready:', P .. ':effects'
  local at_once = redis.call('EXISTS', effects, P .. ':ready', ready .. 1, ready .. 2, ready .. 3, ready .. 4, ready .. 5,
    ready .. 6, ready .. 7, ready .. 8, ready .. 9)
  if at_once > 0 and (redis.call('EXISTS', P .. ':paused') == 0 or redis.call('EXISTS', effects) > 0) then return 0 end
  -- a job that is in one of the two only waits to be adopted; two errors aren't equal either
  if redis.pcall('LLEN', P .. ':processing') ~= redis.pcall('ZCARD', P .. ':processing_vt') then return 0 end
  local next_at
  for _, set in ipairs({':delayed', ':processing_vt'}) do
    local first = redis.pcall('ZRANGE', P .. set, 0, 0, 'WITHSCORES')
    if first.err then return 0 end
    if first[2] and (not next_at or tonumber(first[2]) < next_at) then next_at = tonumber(first[2]) end
  end
  return next_at and math.max(0, next_at - now)
end

local prefixes = {KEYS[1]}
for i = 2, #ARGV do prefixes[#prefixes + 1] = ARGV[i] end
local due = {}
for i, P in ipairs(prefixes) do
  local seconds = seconds_to_due(P)
  due[i] = seconds and exact(seconds) or ''
end
return due
