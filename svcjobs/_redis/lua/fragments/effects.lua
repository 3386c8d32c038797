--@include store
-- An effect is five arguments: set key value ttl_ms channel | count key by ttl_ms field | job prefix name payload options
-- | db number | relay blob. check_effects returns an error text, or nil, and the index behind the last effect.
-- pcall: a database that the server doesn't have is refused as any other bad argument is.
local function check_effects(P, args, at)
  local last = at + 5 * tonumber(args[at])
  for i = at + 1, last, 5 do
    local kind, key = args[i], args[i + 1]
    local bad
    if kind == 'count' then
      bad = wrong_type('', {key, args[i + 4] == '' and 'string' or 'hash'})
    elseif kind == 'job' then
      bad = wrong_store(key) or refuse_job(key, read_options(args[i + 4]), {})
    elseif kind == 'relay' then
      bad = wrong_type(P, {':effects', 'list'})
    elseif kind == 'db' then
      bad = redis.pcall('SELECT', key).err
    end
    if bad then return bad, last + 1 end
  end
  return nil, last + 1
end

local function set_result(key, value, ttl_ms, channel)
  if ttl_ms == '' then redis.call('SET', key, value) else redis.call('SET', key, value, 'PX', ttl_ms) end
  if channel ~= '' then redis.call('PUBLISH', channel, value) end
end

-- pcall: the settlement is half done here, and a counter that somebody overwrote with text must not stop it.
local function add_to_counter(key, by, ttl_ms, field)
  if field == '' then redis.pcall('INCRBY', key, by) else redis.pcall('HINCRBY', key, field, by) end
  if ttl_ms ~= '' then redis.call('PEXPIRE', key, ttl_ms) end
end

local function follow(P, name, payload, options, now)
  local groups = {}
  local _, created = store_job(P, name, payload, read_options(options), now, groups)
  make_ready(P, groups, false)
  count(P, 'enqueued', created and 1 or 0)
end

-- Carry out the effects that check_effects let pass; returns the index behind the last.
local function apply_effects(P, args, at, now)
  local last = at + 5 * tonumber(args[at])
  for i = at + 1, last, 5 do
    local kind, a, b, c, d = args[i], args[i + 1], args[i + 2], args[i + 3], args[i + 4]
    if kind == 'set' then set_result(a, b, c, d)
    elseif kind == 'count' then add_to_counter(a, b, c, d)
    elseif kind == 'job' then follow(a, b, c, d, now)
    elseif kind == 'relay' then redis.call('RPUSH', P .. ':effects', a)
    elseif kind == 'db' then redis.call('SELECT', a) end
  end
  return last + 1
end
