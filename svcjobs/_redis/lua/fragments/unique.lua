-- A job's `unique` field is `<scope>:<key>` (a window's is `window=<seconds>:<key>`); `{prefix}:unique:<key>` holds the id of the job that has the key.
local function unique_key(P, field)
  local scope, key = string.match(field, '^(%l+)[^:]*:(.*)$')
  if scope then return P .. ':unique:' .. key, scope end
end

-- Free the key at the moment its scope ends; a window ends by itself.
local function free_unique(P, field, id, started)
  if not field then return end
  local key, scope = unique_key(P, field)
  if not key or scope == 'window' or (started and scope ~= 'queued') then return end
  if redis.call('TYPE', key).ok == 'string' and redis.call('GET', key) == id then redis.call('DEL', key) end
end

-- Take the key for a job that waits again; false when another live job, or the window of another one, has it.
local function take_unique(P, field, id)
  if not field then return true end
  local key, scope = unique_key(P, field)
  if not key or scope == 'window' then return true end
  if redis.call('TYPE', key).ok == 'string' then
    local holder = redis.call('GET', key)
    local held = redis.call('EXISTS', P .. ':job:' .. holder) == 1 or redis.call('PTTL', key) > 0
    if holder ~= id and held then return false end
  end
  redis.call('SET', key, id)
  return true
end
