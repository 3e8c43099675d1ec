--[[
Puts dead letters back into the queues that they came from, due now, with their attempts behind them and a new schedule before them. What is not a
dead letter any more is passed over, so that a repeat does nothing.

KEYS
  1 state      hash    the partition's state
  2 log        stream  the partition's log
  3 copies     hash    events kept beyond the log
  4 holds      hash    who keeps them
  5 dead       hash    dead letters
  6 dead_at    zset    when they were made
  7 gone       hash    deleted subscriptions
  8 progress   hash    of the operation, in this partition
  9 paused     hash    paused subscriptions
  10… queues           seven for each queue: schedule zset, fresh list, retries zset, leases zset, attempts hash, lanes hash, waiting zset

ARGV
  1 cursor     how far the operation is in this partition, "" to leave it
  2 ttl        milliseconds for which the progress is kept
  3 skipped    how many letters were found that can't be put back
  4… queues    for each: subscription, max in flight, number of letters, their entries, with
               their lanes where the queue is ordered

RETURNS  how many were put back
]]
local log, copies, holds, dead, dead_at, gone, progress, paused = KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local horizon = redis.call('HGET', KEYS[1], 'horizon') or '0-0'
local t = now()

-- How many bytes of attempts go along.
local most_attempts = 65536

local function attempts_of(record)
  local lines = string.match(record, '\n(.*)$') or ''
  if #lines > most_attempts then
    lines = string.match(string.sub(lines, -most_attempts), '\n(.*)$') or ''
  end
  return '0\n' .. lines
end

-- Letters that are put back by one call keep their order, by fractions of the millisecond before.
local function put_back(queue, entry, record, place)
  local name, id, lane = without_lane(entry) .. ' ' .. queue.subscription, id_of(entry), lane_of(entry)
  redis.call('HSET', queue.attempts, entry, attempts_of(record))
  if not lane or redis.call('HSETNX', queue.lanes, lane, entry) == 1 then
    redis.call('ZADD', queue.retries, int(t - 1) .. string.format('.%03d', place % 1000), entry)
  else
    redis.call('ZADD', queue.waiting, 0, waiting_member(lane, entry))
  end
  if at_or_before(entry, horizon) then
    hold(log, copies, holds, id, queue.subscription .. suffix_of(entry))
  end
  redis.call('HDEL', dead, name)
  redis.call('ZREM', dead_at, name)
  release(copies, holds, id, 'dead ' .. name)
end

local moved, arg = 0, 4
for i = 10, #KEYS, 7 do
  local queue = { subscription = ARGV[arg], retries = KEYS[i + 2], attempts = KEYS[i + 4], lanes = KEYS[i + 5], waiting = KEYS[i + 6] }
  local max, count = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
  if redis.call('HEXISTS', gone, queue.subscription) == 0 then
    for place = 1, count do
      local entry = ARGV[arg + 2 + place]
      local record = redis.call('HGET', dead, without_lane(entry) .. ' ' .. queue.subscription)
      if record then
        put_back(queue, entry, record, moved)
        moved = moved + 1
      end
    end
    if redis.call('HEXISTS', paused, queue.subscription) == 0 then
      reschedule(KEYS[i], queue.subscription, KEYS[i + 1], queue.retries, KEYS[i + 3], max, t, 0)
    end
  end
  arg = arg + 3 + count
end
note_progress(progress, '', 'skipped', tonumber(ARGV[3]), ARGV[2])
note_progress(progress, ARGV[1], 'redriven', moved, ARGV[2])
return moved
