-- Lease ready jobs to a worker, after moving due and expired ones to the ready lists.
-- KEYS[1]    prefix of the queue
-- ARGV[1]    now: seconds since the epoch, '' for the server's clock
-- ARGV[2]    nonce of the client
-- ARGV[3]    number of the request
-- ARGV[4]    visibility timeout in seconds
-- ARGV[5]    most jobs to lease; 0 only passes the wake-up on to another worker
-- ARGV[6]    '1' takes the lowest priority first
-- returns    {now, seconds to the next due job or '', waiting effects, then per job {id, lease, verdict, attempts, fields of its hash}}
--@include sweep
local P = KEYS[1]
local nonce, number = ARGV[2], ARGV[3]
local visibility, limit = tonumber(ARGV[4]), tonumber(ARGV[5])
local SWEEP = 100
if not visibility or not limit then return redis.error_reply('SVCJOBS INVALID reserve: no number of seconds or jobs') end

-- Why the job can't be run, or nil; with it the attempt number.
local function judge(fields, now)
  local attempts, max_attempts = read_whole(fields.attempts), read_whole(fields.max_attempts or '5')
  if not fields.name or not fields.payload then return 'corrupt', 0 end
  if not attempts or not max_attempts or not read_seconds(fields.backoff_seconds or '60') then return 'corrupt', 0 end
  if fields.cancel then return 'cancelled', attempts end
  if attempts >= max_attempts then return fields.lost == fields.attempts and 'worker_lost' or 'exhausted', attempts end
  if now > (tonumber(fields.retry_until) or now) then return 'exhausted', attempts end
  return nil, attempts + 1
end

-- The job's hash as a flat list and as a table. A key of another type is kept under `{prefix}:corrupt:<id>`.
-- pcall: that it is one is told by the error.
local function read_job(id)
  local key = P .. ':job:' .. id
  local flat = redis.pcall('HGETALL', key)
  if flat.err then
    redis.call('RENAME', key, P .. ':corrupt:' .. id)
    flat = {}
  end
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return key, flat, fields
end

local function lease_job(id, lease, batch, now)
  local key, flat, fields = read_job(id)
  -- an id that somebody pushed twice: the first one's worker has it
  if batch.seen[id] then return nil end
  batch.seen[id] = true
  if fields.lease and redis.call('ZSCORE', P .. ':processing_vt', id) then return nil end
  local verdict, attempts = judge(fields, now)
  if verdict then
    redis.call('HSET', key, 'id', id, 'lease', lease)
  else
    redis.call('HSET', key, 'attempts', attempts, 'lease', lease)
    free_unique(P, fields.unique, id, true)
    if fields.lost then redis.call('HDEL', key, 'lost') end
    -- a dead job that somebody moved back by hand
    if fields.reason then redis.call('HDEL', key, 'reason', 'dead_at') end
  end
  batch.ids[#batch.ids + 1] = id
  batch.memory[#batch.memory + 1] = id .. '\n' .. lease .. '\n' .. (verdict or '-')
  return {id, lease, verdict or '', attempts, flat}
end

-- What a repeated request was given before, as far as it is still leased to it.
local function leased_before(reply)
  local jobs = {exact(read_clock(ARGV[1])), '', 0}
  for id, lease, verdict in string.gmatch(reply, '([^\n]+)\n([^\n]+)\n([^\n]+)') do
    if held(P, id, lease, {}) then
      local _, flat, fields = read_job(id)
      jobs[#jobs + 1] = {id, lease, verdict == '-' and '' or verdict, tonumber(fields.attempts) or 0, flat}
    end
  end
  return jobs
end

-- What the queue has at the moment, or nil and an error text: when the next delayed job and lease are due (or never),
-- how many jobs are in hand, the ready lists and their lengths.
local function survey()
  local has, bad = {lengths = {}}, nil
  for _, set in ipairs({'delayed', 'processing_vt'}) do
    local first
    first, bad = read_key('zset', 'ZRANGE', P .. ':' .. set, 0, 0, 'WITHSCORES')
    if bad then return nil, bad end
    has[set] = tonumber(first[2]) or math.huge
  end
  has.in_hand, bad = read_key('list', 'LLEN', P .. ':processing')
  if bad then return nil, bad end
  local levels
  levels, bad = read_key('set', 'SMEMBERS', P .. ':priorities')
  if bad then return nil, bad end
  has.lists = ready_lists(P, levels)
  for i, list in ipairs(has.lists) do
    has.lengths[i], bad = read_key('list', 'LLEN', list)
    if bad then return nil, bad end
  end
  return has
end

local bad = wrong_counter(P .. ':leases')
if bad then return redis.error_reply(bad) end
local reply, abandoned = repeated(P, nonce, number)
if abandoned then return redis.error_reply(abandoned) end
if reply then return leased_before(reply) end
local now = read_clock(ARGV[1])
local effects, has
effects, bad = read_key('list', 'LLEN', P .. ':effects')
if bad then return redis.error_reply(bad) end
has, bad = survey()
if bad then return redis.error_reply(bad) end

local orphans = has.in_hand > 0 and has.in_hand > redis.call('ZCARD', P .. ':processing_vt')
if has.delayed <= now or has.processing_vt <= now or orphans then
  bad = wrong_settle(P)
  if bad then return redis.error_reply(bad) end
  open_full_server(P)
  promote(P, now, SWEEP)
  reclaim(P, now, SWEEP)
  adopt(P, now, visibility, SWEEP)
  has = survey()
end

if math.max(unpack(has.lengths)) == 0 then
  -- a worker that finds nothing is about to wait there
  bad = wrong_type(P, {':wake', 'list'})
  if bad then return redis.error_reply(bad) end
end

local jobs = {exact(now), '', effects}
local batch = {ids = {}, memory = {}, seen = {}}
local left_behind = false
if redis.call('EXISTS', P .. ':paused') == 0 then
  local first, last, step = 1, #has.lists, 1
  if ARGV[6] == '1' then first, last, step = #has.lists, 1, -1 end
  for at = first, last, step do
    local taken = math.min(limit - #batch.ids, has.lengths[at])
    if taken > 0 then
      -- removes, and so comes first: a full server takes no other script
      local ids = redis.call('RPOP', has.lists[at], taken)
      local newest = redis.call('INCRBY', P .. ':leases', taken)
      for i, id in ipairs(ids) do
        local lease = string.format('%d-%s', newest - taken + i, nonce)
        jobs[#jobs + 1] = lease_job(id, lease, batch, now)
      end
    end
    left_behind = left_behind or has.lengths[at] > math.max(taken, 0)
  end
end
if #batch.ids > 0 then
  -- a small set is a list that Redis searches from its beginning: of equal scores the last id first finds its place soonest
  local runs_out_at, leases = exact(now + visibility), {}
  for i = #batch.ids, 1, -1 do
    leases[#leases + 1] = runs_out_at
    leases[#leases + 1] = batch.ids[i]
  end
  redis.call('ZADD', P .. ':processing_vt', unpack(leases))
  redis.call('LPUSH', P .. ':processing', unpack(batch.ids))
  has.processing_vt = math.min(has.processing_vt, now + visibility)
else
  open_full_server(P)
end
local wait = math.min(has.delayed, has.processing_vt) - now
-- another idle worker takes over the watch of what is due soon, while this one works
if (#batch.ids > 0 or limit == 0) and (left_behind or wait < LONGEST_SLEEP) then wake(P) end
jobs[2] = wait < math.huge and exact(wait) or ''
-- an empty reply too: a lost request that arrives late must not lease a job to nobody
remember_reply(P, nonce, number, table.concat(batch.memory, '\n'))
return jobs
