--[[
Tells how far a partition is with forwarding: all of its events that were accepted before a time are forwarded, since its cursor has passed them, and none will be
accepted before it any more. Where all of the log is applied, that time is the present.

KEYS
  1 state   hash    the partition's state
  2 log     stream  the partition's log

ARGV
  1 wanted  time in milliseconds; where as much is known already, nothing is written

RETURNS  the time in milliseconds
]]
local wanted = tonumber(ARGV[1])
local s = redis.call('HMGET', KEYS[1], 'cursor', 'target', 'floor', 'settled')
local cursor, floor = s[1] or '0-0', tonumber(s[3] or 0)
local known = math.max(tonumber(s[4] or 0), tonumber(string.match(cursor, '^%d+')))
if known >= wanted then
  return int(known)
end
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if (s[2] or '') == '' and (not last or at_or_before(last[1], cursor)) then
  -- Where the clock has not passed the last event yet, the next one is accepted a millisecond later than it would be.
  known = math.max(now(), known, math.min(wanted, floor + 1))
  redis.call('HSET', KEYS[1], 'settled', int(known))
end
return int(known)
