-- Add to a total of the queue. pcall: a total that somebody overwrote with text must not stop jobs.
local function count(P, name, by)
  if by > 0 then redis.pcall('HINCRBY', P .. ':counters', name, by) end
end
