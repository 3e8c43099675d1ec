--[[
Removes a page of a deleted subscription's queue; what it kept of events goes with it. It is done when nothing can be queued any more that
was accepted before the deletion.

KEYS
  1 state     hash    the partition's state
  2 gone      hash    deleted subscriptions, and the last ID that may still be queued for each
  3 copies    hash    events kept beyond the log
  4 holds     hash    who keeps them
  5 fresh     list    the queue
  6 retries   zset
  7 leases    zset
  8 attempts  hash
  9 counters  hash
  10 ready     zset    queues that any replica can send from
  11 handlers  zset    queues of Go handlers
  12 permits   zset    the subscription's, if this is its home
  13 paused    hash    paused subscriptions
  14 rate      string  permits of the subscription's rate, if this is its home
  15 pulls     zset    queues that workers pull from
  16 successes list
  17 open      hash    subscriptions whose breaker is open
  18 breaker   hash    the subscription's, if this is its home
  19 lanes     hash    of the queue
  20 waiting   zset

ARGV
  1 subscription
  2 page      how many entries at most

RETURNS  {"more" | "done" | "wait" (the cursor has to come further first), number of deliveries dropped}
]]
local copies, holds, page = KEYS[3], KEYS[4], tonumber(ARGV[2])
local s = redis.call('HMGET', KEYS[1], 'horizon', 'cursor', 'target')
local horizon, cursor, target = s[1] or '0-0', s[2] or '0-0', s[3] or ''
local last = redis.call('HGET', KEYS[2], ARGV[1])
if not last then
  return { 'done', 0 }
end

local dropped = redis.call('LPOP', KEYS[5], page) or {}
for _, key in ipairs({ KEYS[6], KEYS[7] }) do
  if #dropped < page then
    local entries = redis.call('ZRANGE', key, 0, page - #dropped - 1)
    call_many('ZREM', key, entries)
    for _, entry in ipairs(entries) do
      dropped[#dropped + 1] = entry
    end
  end
end
if #dropped < page then
  local members = redis.call('ZRANGE', KEYS[20], 0, page - #dropped - 1)
  call_many('ZREM', KEYS[20], members)
  for _, member in ipairs(members) do
    dropped[#dropped + 1] = waiting_entry(member)
  end
end
call_many('HDEL', KEYS[8], dropped)
for _, entry in ipairs(dropped) do
  if at_or_before(entry, horizon) then
    release(copies, holds, id_of(entry), ARGV[1] .. suffix_of(entry))
  end
end
if #dropped == page then
  return { 'more', #dropped }
end
if not at_or_before(last, cursor) or (last == cursor and target ~= '') then
  return { 'wait', #dropped }
end
redis.call('UNLINK', KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[12], KEYS[14], KEYS[16], KEYS[18], KEYS[19])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[13], ARGV[1])
redis.call('HDEL', KEYS[17], ARGV[1])
redis.call('ZREM', KEYS[10], ARGV[1])
redis.call('ZREM', KEYS[11], ARGV[1])
redis.call('ZREM', KEYS[15], ARGV[1])
return { 'done', #dropped }
