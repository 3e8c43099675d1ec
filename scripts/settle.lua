--[[
Records how attempts ended. Only the claim that still holds a delivery's lease can settle it.

KEYS
  1 state      hash    the partition's state
  2 log        stream  the partition's log
  3 copies     hash    events kept beyond the log
  4 holds      hash    who keeps them
  5 dead       hash    dead letters
  6 dead_at    zset    when they were made
  7… queues            seven for each queue: schedule zset, fresh list, retries zset, leases zset, tokens hash, attempts hash,
                       counters hash

ARGV
  1… queues    for each: subscription, max in flight, number of results; for each result: entry, token, "delivered" | "retry" | "dead" |
               "back" (not attempted: due again at once), delay in milliseconds, record of the attempt (a JSON object, or empty),
               last error

RETURNS  for each result "settled" | "lost" (the lease ran out and somebody else has it), and after each queue's results in how many
         milliseconds the queue has work again, or "idle"
]]
local log, copies, holds, dead, dead_at = KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local horizon = redis.call('HGET', KEYS[1], 'horizon') or '0-0'
local t = now()
local result = {}

local function id_of(entry)
  return string.match(entry, '^%d+-%d+')
end

-- Adds a line to the attempts of a delivery: their number, then a line for each that failed.
local function record(queue, entry, attempt, line)
  local old = string.match(redis.call('HGET', queue.attempts, entry) or '', '\n(.*)$') or ''
  local new = attempt .. '\n' .. old
  if line ~= '' then
    new = new .. line .. '\n'
  end
  redis.call('HSET', queue.attempts, entry, new)
  return new
end

local function forget(queue, entry)
  redis.call('HDEL', queue.attempts, entry)
  if at_or_before(entry, horizon) then
    release(copies, holds, id_of(entry), queue.subscription .. string.match(entry, '^%d+-%d+(.*)'))
  end
end

local verdicts = {}

function verdicts.delivered(queue, entry)
  queue.delivered = queue.delivered + 1
  forget(queue, entry)
end

function verdicts.retry(queue, entry, attempt, delay, line)
  record(queue, entry, attempt, line)
  redis.call('ZADD', queue.retries, int(t + delay), entry)
end

function verdicts.dead(queue, entry, attempt, _, line)
  local name = entry .. ' ' .. queue.subscription
  hold(log, copies, holds, id_of(entry), 'dead ' .. name)
  redis.call('HSET', dead, name, record(queue, entry, attempt, line))
  redis.call('ZADD', dead_at, int(t), name)
  queue.dead = queue.dead + 1
  forget(queue, entry)
end

function verdicts.back(queue, entry, attempt)
  record(queue, entry, int(tonumber(attempt) - 1), '')
  redis.call('ZADD', queue.retries, int(t), entry)
end

-- Whether the claim that settles still holds the lease; gives the attempt's number.
local function attempt_of(held, token)
  local attempt, holder = string.match(held or '', '^(%d+) (.*)$')
  return holder == token and attempt
end

local function count(queue)
  if queue.delivered > 0 then
    redis.call('HINCRBY', queue.counters, 'delivered', queue.delivered)
    redis.call('HSET', queue.counters, 'last_success', int(t))
  end
  if queue.dead > 0 then
    redis.call('HINCRBY', queue.counters, 'dead', queue.dead)
  end
  if queue.last_error then
    redis.call('HSET', queue.counters, 'last_failure', int(t), 'last_error', queue.last_error)
  end
end

local function settle(queue, first, results)
  local entries = {}
  for i = 1, results do
    entries[i] = ARGV[first + 6 * (i - 1)]
  end
  local held = redis.call('HMGET', queue.tokens, unpack(entries))
  local mine = {}
  for i, entry in ipairs(entries) do
    local arg = first + 6 * (i - 1)
    local attempt = attempt_of(held[i], ARGV[arg + 1])
    if attempt then
      mine[#mine + 1] = entry
      verdicts[ARGV[arg + 2]](queue, entry, attempt, tonumber(ARGV[arg + 3]), ARGV[arg + 4])
      if ARGV[arg + 5] ~= '' then
        queue.last_error = ARGV[arg + 5]
      end
    end
    result[#result + 1] = attempt and 'settled' or 'lost'
  end
  if #mine > 0 then
    call_many('HDEL', queue.tokens, mine)
    call_many('ZREM', queue.leases, mine)
  end
end

local arg = 1
for i = 7, #KEYS, 7 do
  local queue = {
    subscription = ARGV[arg], retries = KEYS[i + 2], leases = KEYS[i + 3], tokens = KEYS[i + 4], attempts = KEYS[i + 5],
    counters = KEYS[i + 6], delivered = 0, dead = 0,
  }
  local max, results = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
  settle(queue, arg + 3, results)
  count(queue)
  local at = reschedule(KEYS[i], queue.subscription, KEYS[i + 1], queue.retries, queue.leases, max, t)
  result[#result + 1] = at and int(math.max(0, at - t)) or 'idle'
  arg = arg + 3 + 6 * results
end
return result
