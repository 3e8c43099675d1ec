--[[
Ends leases of a queue that workers pull from, when they have run out: the attempt counts as one that did not come to an end. After the last one a delivery becomes
a dead letter; before, it waits to be pulled again.

KEYS
  1 state     hash    the partition's state
  2 log       stream  the partition's log
  3 copies    hash    events kept beyond the log
  4 holds     hash    who keeps them
  5 dead      hash    dead letters
  6 dead_at   zset    when they were made
  7 gone      hash    deleted subscriptions
  8 paused    hash    paused subscriptions
  9 schedule  zset    queues that workers pull from
  10 fresh     list    the queue
  11 retries   zset
  12 leases    zset
  13 attempts  hash
  14 counters  hash

ARGV
  1 subscription
  2 max       in flight
  3 attempts  after so many, a delivery becomes a dead letter
  4 page      how many leases at most

RETURNS  {how many leases were ended, how many deliveries became dead letters}
]]
local log, copies, holds, attempts = KEYS[2], KEYS[3], KEYS[4], KEYS[13]
local subscription, most = ARGV[1], tonumber(ARGV[3])
local horizon = redis.call('HGET', KEYS[1], 'horizon') or '0-0'
local t = now()
if redis.call('HEXISTS', KEYS[7], subscription) == 1 or redis.call('HEXISTS', KEYS[8], subscription) == 1 then
  return { 0, 0 }
end

local function become_dead(entry, record)
  make_letter(log, copies, holds, KEYS[5], KEYS[6], entry .. ' ' .. subscription, record, t)
  redis.call('HDEL', attempts, entry)
  if at_or_before(entry, horizon) then
    release(copies, holds, id_of(entry), subscription .. suffix_of(entry))
  end
end

local expired, dead = redis.call('ZRANGEBYSCORE', KEYS[12], '-inf', int(t), 'LIMIT', 0, ARGV[4]), 0
for _, entry in ipairs(expired) do
  local record, attempt = with_expired(redis.call('HGET', attempts, entry) or '0\n', t)
  redis.call('ZREM', KEYS[12], entry)
  redis.call('HDEL', attempts, receipt_field(entry))
  if attempt >= most then
    become_dead(entry, record)
    dead = dead + 1
  else
    redis.call('HSET', attempts, entry, record)
    redis.call('ZADD', KEYS[11], int(t), entry)
  end
end
if dead > 0 then
  redis.call('HINCRBY', KEYS[14], 'dead', dead)
end
if #expired > 0 then
  redis.call('HSET', KEYS[14], 'last_failure', int(t), 'last_error', 'expired')
  reschedule(KEYS[9], subscription, KEYS[10], KEYS[11], KEYS[12], tonumber(ARGV[2]), t, 0)
end
return { #expired, dead }
