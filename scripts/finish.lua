--[[
Ends an operation.

KEYS
  1 open      zset    operations under way
  2 same      hash    what an operation under way does, in a digest, to its id
  3 document  string  the operation's

ARGV
  1 id
  2 digest
  3 document  as it is from now on
  4 ttl       milliseconds for which it is kept

RETURNS  "ended" | "known" (it had ended before)
]]
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then
  return 'known'
end
if redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[1] then
  redis.call('HDEL', KEYS[2], ARGV[2])
end
redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[4])
return 'ended'
