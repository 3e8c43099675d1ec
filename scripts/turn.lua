--[[
Gives a replica its turn at the operation that has waited longest. If the replica dies, another one takes its turn when that has run out.

KEYS
  1 open   zset  operations under way, and when somebody works on each next

ARGV
  1 lease  milliseconds that the turn lasts

RETURNS  the operation's id, or "" where none is due
]]
local t = now()
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', int(t), 'LIMIT', 0, 1)[1]
if not due then
  return ''
end
redis.call('ZADD', KEYS[1], int(t + tonumber(ARGV[1])), due)
return due
