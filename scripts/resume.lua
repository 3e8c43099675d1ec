--[[
Ends the pause of a subscription's queue, which is looked at now if it holds anything. Its breaker is closed, also
if it was not paused.

KEYS
  1 state     hash    the partition's state
  2 paused    hash    paused subscriptions: since when, and for which reason
  3 schedule  zset    queues and when to look at each
  4 fresh     list    the queue
  5 retries   zset
  6 leases    zset
  7 open      hash    subscriptions whose breaker is open
  8 breaker   hash    the subscription's

ARGV
  1 subscription
  2 which     "any" pause | "disabled": only one that came with the subscription's being disabled

RETURNS  "resumed" | "kept" (there is no such pause)
]]
local reason = string.match(redis.call('HGET', KEYS[2], ARGV[1]) or '', '^%d+ (.*)$')
if ARGV[2] == 'disabled' and (not reason or reason == 'operator') then
  return 'kept'
end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[7], ARGV[1])
redis.call('UNLINK', KEYS[8])
if redis.call('LLEN', KEYS[4]) + redis.call('ZCARD', KEYS[5]) + redis.call('ZCARD', KEYS[6]) > 0 then
  redis.call('ZADD', KEYS[3], int(now()), ARGV[1])
end
redis.call('HINCRBY', KEYS[1], 'pauses', 1)
return 'resumed'
