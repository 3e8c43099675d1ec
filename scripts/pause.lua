--[[
Pauses a subscription's queue: from now on nothing of it is leased, and it leaves the schedule.

KEYS
  1 state     hash    the partition's state
  2 paused    hash    paused subscriptions: since when, and for which reason
  3 gone      hash    deleted subscriptions
  4 ready     zset    queues that any replica can send from
  5 handlers  zset    queues of Go handlers
  6 pulls     zset    queues that workers pull from

ARGV
  1 subscription
  2 reason    "operator", or what the subscription was disabled for

RETURNS  "paused" | "gone" (it was deleted; nothing was done)
]]
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then
  return 'gone'
end
local old = redis.call('HGET', KEYS[2], ARGV[1])
local since, reason = string.match(old or '', '^(%d+) (.*)$')
if reason ~= 'operator' then
  redis.call('HSET', KEYS[2], ARGV[1], (since or int(now())) .. ' ' .. ARGV[2])
end
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[5], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'pauses', 1)
return 'paused'
