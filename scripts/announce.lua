--[[
Makes a change of the definitions binding in a partition: from now on no batch with an event accepted later can be applied that was matched
under older ones. (Events accepted before may be routed by either, so a stream of changes does not hold routing up.)

KEYS
  1 state     hash    the partition's state
  2 announced list    the last changes: version, a space, and the last ID given out when it was announced
  3 gone      hash    deleted subscriptions whose queues are to be removed, and the last ID that may still be queued for them
  4 ready     zset    queues that any replica can send from
  5 handlers  zset    queues of Go handlers
  6 pulls     zset    queues that workers pull from

ARGV
  1 version   of the definitions; a partition never goes back to an older one
  2 token     what is announced: version, a dot, and something random
  3… gone     ids of subscriptions that were deleted

RETURNS  "announced" | "known" (this version or a newer one was announced before)
]]
local s = redis.call('HMGET', KEYS[1], 'token', 'floor', 'seq')
local known = tonumber(string.match(s[1] or '', '^%d+') or 0)
local last = (s[2] or '0') .. '-' .. (s[3] or '0')
for i = 3, #ARGV do
  redis.call('HSETNX', KEYS[3], ARGV[i], last)
  redis.call('ZREM', KEYS[4], ARGV[i])
  redis.call('ZREM', KEYS[5], ARGV[i])
  redis.call('ZREM', KEYS[6], ARGV[i])
end
if known >= tonumber(ARGV[1]) then
  return 'known'
end
redis.call('HSET', KEYS[1], 'token', ARGV[2])
redis.call('RPUSH', KEYS[2], ARGV[1] .. ' ' .. last)
redis.call('LTRIM', KEYS[2], -200, -1)
return 'announced'
