--[[
Makes a change of the definitions binding in a partition: from now on no batch that was matched under older ones can be applied.

KEYS
  1 state    hash    the partition's state
  2 gone     set     deleted subscriptions whose queues are to be removed
  3 ready    zset    queues that any replica can send from
  4 handlers zset    queues of Go handlers

ARGV
  1 version  of the definitions; a partition never goes back to an older one
  2 token    what is announced: version, a dot, and something random
  3… gone    ids of subscriptions that were deleted

RETURNS  "announced" | "known" (this version or a newer one was announced before)
]]
local known = tonumber(string.match(redis.call('HGET', KEYS[1], 'token') or '', '^%d+') or 0)
for i = 3, #ARGV do
  redis.call('SADD', KEYS[2], ARGV[i])
  redis.call('ZREM', KEYS[3], ARGV[i])
  redis.call('ZREM', KEYS[4], ARGV[i])
end
if known >= tonumber(ARGV[1]) then
  return 'known'
end
redis.call('HSET', KEYS[1], 'token', ARGV[2])
return 'announced'
