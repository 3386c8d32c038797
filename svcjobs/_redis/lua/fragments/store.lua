--@include types
--@include clock
--@include count
--@include ready
--@include unique
--@include dead
-- Options of a job to store, one `name=value` a line, only those that aren't the default.
local function read_options(text)
  local options = {}
  for name, value in string.gmatch(text, '(%l[%l_]*)=([^\n]*)') do options[name] = value end
  return options
end

-- As wrong_type, for where a job with these options will lie; `seen` keeps what was looked at before.
local function wrong_place(P, options, seen)
  local list, level = ready_key(P, options.priority)
  local bad
  if not seen[list] then
    bad = wrong_type('', {list, 'list'}) or (level > 0 and wrong_type(P, {':priorities', 'set'}))
    seen[list] = true
  end
  if options.delay and not seen.delayed then
    bad = bad or wrong_type(P, {':delayed', 'zset'})
    seen.delayed = true
  end
  return bad or nil
end

-- Why a job can't be stored, as an error text, or nil. Nothing is written.
local function refuse_job(P, options, seen)
  local bad = wrong_place(P, options, seen)
  if bad then return bad end
  if options.id then
    local key = P .. ':job:' .. options.id
    local bad = wrong_type('', {key, 'hash'})
    if bad then return bad end
    local reason, unknown = death_of(P, key, options.id)
    if unknown then return unknown end
    if reason then return 'SVCJOBS DEAD ' .. options.id end
  end
  if options.unique then
    local key = unique_key(P, options.unique)
    local bad = wrong_type('', {key, 'string'})
    if bad then return bad end
    if string.find(redis.call('GET', key) or '', '\n', 1, true) then return 'SVCJOBS CORRUPT ' .. key .. ' holds no job id' end
  end
end

-- As wrong_type, for the keys that storing any job writes.
local function wrong_store(P)
  return wrong_type(P, {':wake', 'list', ':counters', 'hash'}) or wrong_counter(P .. ':seq')
end

-- The next free id. Ids in use above the counter (a lost tail of the log) are jumped over in growing steps.
local function next_id(P)
  local step = 1
  local id = redis.call('INCR', P .. ':seq')
  while redis.call('EXISTS', P .. ':job:' .. id) == 1 and step < 1e12 do
    id = redis.call('INCRBY', P .. ':seq', step)
    step = step * 2
  end
  return string.format('%d', id)
end

-- Store one job and note its id in groups. Returns the id and whether it is new: a live job with the same id or
-- unique key is returned instead.
local function store_job(P, name, payload, options, now, groups)
  if options.id and redis.call('EXISTS', P .. ':job:' .. options.id) == 1 then return options.id, false end
  local unique, scope
  if options.unique then
    unique, scope = unique_key(P, options.unique)
    local holder = redis.call('GET', unique)
    if holder and (scope == 'window' or redis.call('EXISTS', P .. ':job:' .. holder) == 1) then return holder, false end
  end
  local id = options.id or next_id(P)
  local due_at = now + (tonumber(options.delay) or 0)
  local fields = {'id', id, 'name', name, 'payload', payload, 'available_at', iso(due_at), 'attempts', '0',
    'max_attempts', options.max_attempts or '5', 'backoff_seconds', options.backoff or '60'}
  for _, extra in ipairs({'priority', 'retry', 'unique', 'headers', 'soft_limit', 'hard_limit'}) do
    if options[extra] then
      fields[#fields + 1] = extra
      fields[#fields + 1] = options[extra]
    end
  end
  if options.elapsed then
    fields[#fields + 1] = 'retry_until'
    fields[#fields + 1] = exact(now + tonumber(options.elapsed))
  end
  redis.call('HSET', P .. ':job:' .. id, unpack(fields))
  if unique and scope == 'window' then
    redis.call('SET', unique, id, 'PX', options.window)
  elseif unique then
    redis.call('SET', unique, id)
  end
  if due_at > now then
    redis.call('ZADD', P .. ':delayed', exact(due_at), id)
    wake_for(P, ':delayed', id, due_at, now)
  else
    group(groups, id, options.priority)
  end
  return id, true
end
