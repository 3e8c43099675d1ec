--[[
Takes permits to have deliveries of a subscription in flight, and gives back those that are not needed any more. A permit that is not given
back runs out by itself. Used where a subscription has queues in several partitions; this runs in its home partition.

KEYS
  1 permits  zset    permit to when it runs out

ARGV
  1 max      how many there are
  2 want     how many to take
  3 ttl      milliseconds until they run out
  4 name     what the taken ones are called: this and a number
  5… back    permits to give back

RETURNS  number of permits taken
]]
local t = now()
if #ARGV > 4 then
  redis.call('ZREM', KEYS[1], unpack(ARGV, 5))
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', int(t))
local taken = math.max(0, math.min(tonumber(ARGV[2]), tonumber(ARGV[1]) - redis.call('ZCARD', KEYS[1])))
for i = 1, taken do
  redis.call('ZADD', KEYS[1], int(t + tonumber(ARGV[3])), ARGV[4] .. ' ' .. i)
end
return taken
