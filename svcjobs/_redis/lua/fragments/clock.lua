-- Seconds since the epoch: the caller's reading in tests, else the server's own clock.
local function read_clock(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

-- A finite number of seconds out of text that anybody may have written, or nil; at most a hundred years.
local LONGEST_SECONDS = 3162240000
local function read_seconds(text)
  local seconds = tonumber(text)
  if not seconds or seconds ~= seconds then return nil end
  return math.max(-LONGEST_SECONDS, math.min(seconds, LONGEST_SECONDS))
end

-- A whole number out of such text, or nil.
local function read_whole(text)
  return text and #text <= 15 and string.match(text, '^%-?%d+$') and tonumber(text) or nil
end

-- A number as Redis reads it back without loss.
local function exact(number)
  return string.format('%.17g', number)
end

-- The instant in ISO 8601, UTC. Days to year, month, day after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
local function iso(seconds)
  local whole = math.floor(seconds)
  local micros = math.floor((seconds - whole) * 1000000)
  local days = math.floor(whole / 86400)
  local rest = whole - days * 86400
  local shifted = days + 719468
  local era = math.floor(shifted / 146097)
  local doe = shifted - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local shifted_month = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * shifted_month + 2) / 5) + 1
  local month = shifted_month < 10 and shifted_month + 3 or shifted_month - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06d+00:00', year, month, day,
    math.floor(rest / 3600), math.floor(rest / 60) % 60, rest % 60, micros)
end
