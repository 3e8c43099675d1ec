--[[
Removes events at or below the horizon from the log. Every queue must have been gone through with keep since the horizon was raised.

KEYS
  1 state    hash    the partition's state
  2 log      stream  the partition's log

ARGV
  1 through  the horizon that the queues were gone through for
  2 limit    how many at most, about

RETURNS  number of events removed; 0 also when what is left fits no whole node of the stream
]]
local horizon = redis.call('HGET', KEYS[1], 'horizon') or '0-0'
if not at_or_before(ARGV[1], horizon) then
  return 0
end
local ms, seq = string.match(ARGV[1], '^(%d+)-(%d+)')
return redis.call('XTRIM', KEYS[2], 'MINID', '~', ms .. '-' .. int(tonumber(seq) + 1), 'LIMIT', ARGV[2])
