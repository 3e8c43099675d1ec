--[[
Says that a replica lives, and forgets those that have not said so for a while.

KEYS
  1 replicas  hash    replica to what it says of itself
  2 seen      zset    replica to when it said so last

ARGV
  1 replica   its id
  2 document  what it says; empty: it leaves
  3 ttl       milliseconds after which a silent one is forgotten

RETURNS  {number of live replicas, milliseconds of Redis' clock}
]]
local t = now()
local silent = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', int(t - tonumber(ARGV[3])))
if ARGV[2] == '' then
  silent[#silent + 1] = ARGV[1]
end
if #silent > 0 then
  call_many('HDEL', KEYS[1], silent)
  call_many('ZREM', KEYS[2], silent)
end
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('ZADD', KEYS[2], int(t), ARGV[1])
end
return { redis.call('ZCARD', KEYS[2]), int(t) }
