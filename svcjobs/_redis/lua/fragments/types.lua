-- The first of the keys that holds another type than it should, as an error text, or nil.
-- Scripts call it before their first write: Redis doesn't roll back a script that fails half-way.
local function wrong_type(P, kinds)
  for i = 1, #kinds, 2 do
    local key = P .. kinds[i]
    local actual = redis.call('TYPE', key).ok
    if actual ~= kinds[i + 1] and actual ~= 'none' then
      return 'SVCJOBS CORRUPT ' .. key .. ' is a ' .. actual .. ', expected a ' .. kinds[i + 1]
    end
  end
end

-- What a reading command returns, or nil and an error text when the key holds another type.
-- pcall: the error names no key, and comes before the first write.
local function read_key(kind, command, key, ...)
  local found = redis.pcall(command, key, ...)
  if type(found) == 'table' and found.err then return nil, wrong_type('', {key, kind}) or found.err end
  return found
end

-- An error text when the counter holds what INCRBY doesn't take, or what a few more jobs would push over its end, or nil.
local function wrong_counter(key)
  local value, bad = read_key('string', 'GET', key)
  if bad then return bad end
  if value and value ~= '0' and not (string.match(value, '^[1-9]%d*$') and #value <= 15) then
    return 'SVCJOBS CORRUPT ' .. key .. ' holds no whole number of at most 15 digits'
  end
end
