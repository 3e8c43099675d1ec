--[[
Makes a delivery that waits for its next attempt due now.

KEYS
  1 gone      hash  deleted subscriptions
  2 schedule  zset  where its queue waits to be looked at
  3 fresh     list
  4 retries   zset
  5 leases    zset
  6 paused    hash  paused subscriptions

ARGV
  1 subscription
  2 max       in flight
  3 entry

RETURNS  "due" | "elsewhere" (it does not wait for another attempt)
]]
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 or not redis.call('ZSCORE', KEYS[4], ARGV[3]) then
  return 'elsewhere'
end
local t = now()
redis.call('ZADD', KEYS[4], 'LT', int(t), ARGV[3])
if redis.call('HEXISTS', KEYS[6], ARGV[1]) == 0 then
  reschedule(KEYS[2], ARGV[1], KEYS[3], KEYS[4], KEYS[5], tonumber(ARGV[2]), t, 0)
end
return 'due'
