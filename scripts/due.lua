--[[
Finds the queues that have to be looked at now.

KEYS
  1 schedule  zset   queues and when to look at each

ARGV
  1 limit     how many at most

RETURNS  {milliseconds until the first one that is not due yet, or "none", then the subscriptions that are due, longest first}
]]
local t = now()
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', int(t), 'LIMIT', 0, ARGV[1])
local after = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. int(t), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
table.insert(due, 1, after[2] and int(tonumber(after[2]) - t) or 'none')
return due
