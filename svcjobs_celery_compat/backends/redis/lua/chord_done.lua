-- A chord's body was started: what counted it goes, and a mark stays for late copies of its members.
-- KEYS[1]    who starts the body
-- KEYS[2..5] parts, members added later, size, members that were counted
-- ARGV[1]    token of whoever started it
-- ARGV[2]    seconds that the mark stays
-- returns    1, or 0 when another has the right to start it
local claim, parts, added, size, counted = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local token, seconds = ARGV[1], ARGV[2]

if redis.call('GET', claim) ~= token then return 0 end
redis.call('DEL', parts, added, size, counted)
redis.call('SET', claim, 'done', 'EX', seconds)
return 1
