--[[
Queues events of the log for one subscription again, as new deliveries, and moves the cursor of the operation in this partition. A page is queued
once, whoever calls. What has gone from the log since the page was read is passed over.

KEYS
  1 state     hash    the partition's state
  2 log       stream  the partition's log
  3 copies    hash    events kept beyond the log
  4 holds     hash    who keeps them
  5 gone      hash    deleted subscriptions
  6 progress  hash    of the operation, in this partition
  7 schedule  zset    where the queue waits to be looked at
  8 fresh     list    the queue
  9 retries   zset
  10 leases    zset
  11 paused    hash    paused subscriptions
  12 lanes     hash    of the queue
  13 waiting   zset    what stands behind others of its lane

ARGV
  1 subscription
  2 max       in flight
  3 suffix    of the new deliveries
  4 from      cursor that the page starts from, "" at the start
  5 to        cursor behind it
  6 passed    how many events of the page are not wanted
  7 ttl       milliseconds for which the progress is kept
  8… ids      of the events, each with its lane where the queue is ordered

RETURNS  "replayed" | "fenced" (the cursor stands elsewhere) | "gone" (the subscription was deleted)
]]
local log, copies, holds, progress = KEYS[2], KEYS[3], KEYS[4], KEYS[6]
if (redis.call('HGET', progress, 'cursor') or '') ~= ARGV[4] then
  return 'fenced'
end
if redis.call('HEXISTS', KEYS[5], ARGV[1]) == 1 then
  return 'gone'
end
local horizon = redis.call('HGET', KEYS[1], 'horizon') or '0-0'
local t = now()

-- Those below the horizon need a copy, which they can only have while the event is somewhere.
local queued, behind, kept, count = {}, {}, {}, 0
for i = 8, #ARGV do
  local id, lane = id_of(ARGV[i]), lane_of(ARGV[i])
  local entry = id .. ARGV[3] .. (lane and '#' .. lane or '')
  local low = at_or_before(id, horizon)
  if not low or entry_at(log, id) or redis.call('HEXISTS', copies, id) == 1 then
    if not lane or redis.call('HSETNX', KEYS[12], lane, entry) == 1 then
      queued[#queued + 1], queued[#queued + 2] = int(t - 1) .. string.format('.%03d', count % 1000), entry
    else
      behind[#behind + 1], behind[#behind + 2] = 0, waiting_member(lane, entry)
    end
    count, kept[#kept + 1] = count + 1, low and entry or nil
  end
end

for _, entry in ipairs(kept) do
  hold(log, copies, holds, id_of(entry), ARGV[1] .. suffix_of(entry))
end
call_many('ZADD', KEYS[9], queued)
call_many('ZADD', KEYS[13], behind)
note_progress(progress, '', 'passed', tonumber(ARGV[6]) + #ARGV - 7 - count, ARGV[7])
note_progress(progress, ARGV[5], 'replayed', count, ARGV[7])
if redis.call('HEXISTS', KEYS[11], ARGV[1]) == 0 then
  reschedule(KEYS[7], ARGV[1], KEYS[8], KEYS[9], KEYS[10], tonumber(ARGV[2]), t, 0)
end
return 'replayed'
