--@include settle
-- Move up to `limit` due delayed jobs to the back of the ready lists; returns how many.
local function promote(P, now, limit)
  local due = redis.call('ZRANGEBYSCORE', P .. ':delayed', '-inf', exact(now), 'LIMIT', 0, limit)
  if #due == 0 then return 0 end
  local groups = {}
  for _, id in ipairs(due) do
    local key = P .. ':job:' .. id
    group(groups, id, redis.call('TYPE', key).ok == 'hash' and redis.call('HGET', key, 'priority') or '0')
  end
  redis.call('ZREM', P .. ':delayed', unpack(due))
  make_ready(P, groups, false)
  return #due
end

-- Move up to `limit` jobs whose lease ran out to the front of the ready lists; returns how many.
local function reclaim(P, now, limit)
  local expired = redis.call('ZRANGEBYSCORE', P .. ':processing_vt', '-inf', exact(now), 'LIMIT', 0, limit)
  if #expired == 0 then return 0 end
  redis.call('ZREM', P .. ':processing_vt', unpack(expired))
  local groups = {}
  for _, id in ipairs(expired) do
    redis.call('LREM', P .. ':processing', -1, id)
    local key = P .. ':job:' .. id
    local priority = '0'
    if redis.call('TYPE', key).ok == 'hash' then
      priority = redis.call('HGET', key, 'priority') or '0'
      local attempt = redis.call('HGET', key, 'attempts') or '0'
      if redis.call('HDEL', key, 'lease') == 1 then
        redis.call('HSET', key, 'lost', attempt)
        remember_attempt(key, '"worker_lost: the lease ran out"', now)
      end
      wait_unique(P, key, id)
    end
    group(groups, id, priority)
  end
  make_ready(P, groups, true)
  count(P, 'reclaimed', #expired)
  return #expired
end

-- Give a lease to ids on `processing` that have none, such as those of a client that died between two commands.
-- The page looked at moves on with the time, so that the whole list is seen and no call is long.
local function adopt(P, now, visibility, limit)
  local length = redis.call('LLEN', P .. ':processing')
  if length <= redis.call('ZCARD', P .. ':processing_vt') then return end
  local page = math.floor(now) % math.ceil(length / limit)
  for _, id in ipairs(redis.call('LRANGE', P .. ':processing', page * limit, page * limit + limit - 1)) do
    if not redis.call('ZSCORE', P .. ':processing_vt', id) then
      redis.call('ZADD', P .. ':processing_vt', exact(now + visibility), id)
    end
  end
end
