--@include wake
-- The ready list of a priority; the default one has the documented name.
local function ready_key(P, priority)
  local level = tonumber(priority) or 0
  if level < 1 or level > 9 or level % 1 ~= 0 then return P .. ':ready', 0 end
  return P .. ':ready:' .. string.format('%d', level), level
end

-- Note an id for make_ready, which pushes each list once.
local function group(groups, id, priority)
  local ids = groups[priority or '0']
  if ids then ids[#ids + 1] = id else groups[priority or '0'] = {id} end
end

-- Push the noted ids: to the back of the line, or to its front in the order in which they are to be taken.
local function make_ready(P, groups, front)
  for priority, ids in pairs(groups) do
    local key, level = ready_key(P, priority)
    if level > 0 then redis.call('SADD', P .. ':priorities', level) end
    if front then
      for i = 1, math.floor(#ids / 2) do ids[i], ids[#ids + 1 - i] = ids[#ids + 1 - i], ids[i] end
    end
    local length = redis.call(front and 'RPUSH' or 'LPUSH', key, unpack(ids))
    if length == #ids then wake(P) end
  end
end

-- The ready lists in use, the default one first; `levels` are the members of `priorities`, where they are known.
local function ready_lists(P, levels)
  local lists = {P .. ':ready'}
  levels = levels or redis.call('SMEMBERS', P .. ':priorities')
  table.sort(levels)
  for _, level in ipairs(levels) do
    local key, number = ready_key(P, level)
    if number > 0 then lists[#lists + 1] = key end
  end
  return lists
end

-- As wrong_type, for all ready lists: a job's priority may be the first of its kind. Most queues have one list only.
local function wrong_ready(P)
  local bad = wrong_type(P, {':priorities', 'set', ':ready', 'list'})
  if bad then return bad end
  local key = P .. ':ready:'
  if redis.call('EXISTS', key .. 1, key .. 2, key .. 3, key .. 4, key .. 5, key .. 6, key .. 7, key .. 8, key .. 9) == 0 then
    return nil
  end
  for level = 1, 9 do
    bad = wrong_type(key, {level, 'list'})
    if bad then return bad end
  end
end
