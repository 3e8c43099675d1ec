--[[
Records how attempts ended, and leases fresh deliveries in their place where that is asked for. Only the claim that still holds a delivery's lease can settle it, and of a
worker that pulls only before the lease runs out; of a deleted subscription, nobody.

KEYS
  1 state      hash    the partition's state
  2 log        stream  the partition's log
  3 copies     hash    events kept beyond the log
  4 holds      hash    who keeps them
  5 dead       hash    dead letters
  6 dead_at    zset    when they were made
  7 gone       hash    deleted subscriptions
  8 paused     hash    paused subscriptions
  9 open       hash    subscriptions whose breaker is open, and from when on it lets an attempt through
  10… queues           ten for each queue: schedule zset, fresh list, retries zset, leases zset, attempts hash, counters hash, successes list, breaker hash,
                       lanes hash, waiting zset

ARGV
  1… queues    for each: subscription, max in flight, how many failures in a row open its breaker (0: it has none, or it is elsewhere), its pause in
               milliseconds and the longest one, lowest ID of its results, how many successes are kept, how many fresh deliveries to lease at most, for how many
               milliseconds; number of runs of arrivals: results that are "delivered",
               in no lane, and leased until the same time; for each run that time, how many there are, their entries, and for each the record of its success:
               entry, when it was attempted, how long that took, status code and attempt, with spaces between them; number of other results, for each five:
               entry, when its lease runs out or, after "#", the receipt for it, attempt, "delivered" | "retry" | "dead" | "back" (not attempted: due again at
               once), delay in milliseconds; then for each in order, three if it is retry or dead: record of the attempt (a JSON object), last error, "fault"
               (the endpoint is to blame) | "other"; one if it is delivered: the record of its success

RETURNS  {definitions' token, then for each queue: how many arrivals came too late (the lease had run out and somebody else has the delivery, or the
         subscription was deleted), how many other results did, the numbers of those, counted from 1, in how many milliseconds the queue has work again, or "idle", and for how many milliseconds
         the endpoint has been failing, if the breaker is open, else 0; when the leases of fresh deliveries run out, how many these are, a list of their entries}
]]
local dead, dead_at, gone, paused = KEYS[5], KEYS[6], KEYS[7], KEYS[8]

-- The attempts at a delivery that failed before, a line for each.
local function failures(queue, entry)
  return queue.tried and string.match(redis.call('HGET', queue.attempts, entry) or '', '\n(.*)$') or ''
end

-- Most entries have no lane, which is quickly seen.
local function has_lane(entry)
  return string.find(entry, '#', 1, true)
end

-- Lets the next one of a lane come forward, whose first is done.
local function advance(queue, entry)
  local lane = lane_of(entry)
  if redis.call('HGET', queue.lanes, lane) ~= entry then
    return
  end
  local member = redis.call('ZRANGEBYLEX', queue.waiting, '[' .. lane .. ' ', '(' .. lane .. '!', 'LIMIT', 0, 1)[1]
  if not member then
    redis.call('HDEL', queue.lanes, lane)
    return
  end
  local first = waiting_entry(member)
  redis.call('ZREM', queue.waiting, member)
  redis.call('HSET', queue.lanes, lane, first)
  redis.call('ZADD', queue.retries, int(t), first)
  keep(queue, first)
end

-- The attempts at a delivery with one more: their number, then a line for each that failed.
local function with_attempt(queue, entry, attempt, line)
  return attempt .. '\n' .. failures(queue, entry) .. line .. '\n'
end

local function forget(queue, entry)
  queue.finished[#queue.finished + 1] = entry
  if queue.copied and at_or_before(entry, horizon) then
    release(copies, holds, id_of(entry), queue.subscription .. suffix_of(entry))
  end
  if has_lane(entry) then
    advance(queue, entry)
  end
end

-- How many bytes of failed attempts are kept of a delivery that arrived in the end.
local most_failures = 8192

-- The record of a success with the failures before it, the last ones where they are many.
local function success(queue, entry, record)
  local before = failures(queue, entry)
  if #before > most_failures then
    before = string.match(string.sub(before, -most_failures), '\n(.*)$') or ''
  end
  return record .. before
end

-- What is done where a result is one of these; a success returns its record.
local verdicts = {}

function verdicts.delivered(queue, entry, _, _, record)
  record = success(queue, entry, record)
  forget(queue, entry)
  return record
end

function verdicts.retry(queue, entry, attempt, delay, line)
  redis.call('HSET', queue.attempts, entry, with_attempt(queue, entry, attempt, line))
  redis.call('ZADD', queue.retries, int(t + tonumber(delay)), entry)
end

function verdicts.dead(queue, entry, attempt, _, line)
  local name = without_lane(entry) .. ' ' .. queue.subscription
  make_letter(log, copies, holds, dead, dead_at, name, with_attempt(queue, entry, attempt, line), t)
  queue.dead = queue.dead + 1
  forget(queue, entry)
end

function verdicts.back(queue, entry)
  redis.call('ZADD', queue.retries, int(t), entry)
end

local function record_successes(queue, records)
  if #records > 0 then
    queue.delivered, queue.results.delivered = queue.delivered + #records, true
    queue.recorded = redis.call('LPUSH', queue.success_list, unpack(records))
  end
end

local function count(queue)
  if queue.delivered > 0 then
    redis.call('HINCRBY', queue.counters, 'delivered', queue.delivered)
    redis.call('HSET', queue.counters, 'last_success', int(t))
    if queue.recorded > queue.keep then
      redis.call('LTRIM', queue.success_list, 0, int(queue.keep - 1))
    end
  end
  if queue.dead > 0 then
    redis.call('HINCRBY', queue.counters, 'dead', queue.dead)
  end
  if queue.last_error then
    redis.call('HSET', queue.counters, 'last_failure', int(t), 'last_error', queue.last_error)
  end
end

-- Whether a delivery, leased until a time, is leased under a name.
local function is_held(queue, entry, expires, name)
  if string.sub(name, 1, 1) == '#' then
    return expires > t and has_receipt(queue.attempts, entry, string.sub(name, 2))
  end
  return expires == tonumber(name)
end

-- Notes what an attempt says of the endpoint. ("fault" stands there for attempts that tell of one only.)
local function blame(results, entry, word, whose)
  if word ~= 'back' and whose == 'fault' then
    results.faults, results[entry] = results.faults + 1, 'fault'
  else
    results[entry] = 'other'
  end
end

-- How many arguments say more about a result.
local details = { delivered = 1, retry = 3, dead = 3, back = 0 }

-- Until when some of the arguments are leased; of a deleted subscription nothing is.
local function leased_until(queue, first, n)
  return queue.gone and {} or redis.call('ZMSCORE', queue.leases, unpack(ARGV, first, first + n - 1))
end

-- Settles a run of arrivals that begins at an argument; returns how many came too late and the argument behind it.
local function settle_run(queue, arg)
  local lease, n, first = ARGV[arg], tonumber(ARGV[arg + 1]), arg + 2
  local held, expires = leased_until(queue, first, n), tonumber(lease)
  local mine, records, n_held = {}, {}, 0
  for i = 1, n do
    if held[i] and (held[i] == lease or tonumber(held[i]) == expires) then
      n_held = n_held + 1
      mine[n_held], records[n_held] = ARGV[first + i - 1], ARGV[first + n + i - 1]
    end
  end
  call_many('ZREM', queue.leases, mine)
  if queue.tried or queue.copied then -- something else may be recorded of them
    for i, entry in ipairs(mine) do
      records[i] = success(queue, entry, records[i])
      forget(queue, entry)
    end
  end
  record_successes(queue, records)
  return n - n_held, first + 2 * n
end

-- Settles the runs whose number is an argument; returns how many arrivals came too late and the argument behind them.
local function settle_arrivals(queue, arg)
  local late, runs, next = 0, tonumber(ARGV[arg]), arg + 1
  for _ = 1, runs do
    local some
    some, next = settle_run(queue, next)
    late = late + some
  end
  return late, next
end

-- Settles the other results, whose number is an argument; returns which came too late and the argument behind them.
local function settle_others(queue, arg)
  local n, first = tonumber(ARGV[arg]), arg + 1
  local entries, mine, late, receipts, successes = {}, {}, {}, {}, {}
  for i = 1, n do
    entries[i] = ARGV[first + 5 * (i - 1)]
  end
  local held = queue.gone and {} or n > 0 and redis.call('ZMSCORE', queue.leases, unpack(entries))
  local detail = first + 5 * n
  for i, entry in ipairs(entries) do
    local at = first + 5 * (i - 1)
    local word = ARGV[at + 3]
    local told = details[word]
    if held[i] and is_held(queue, entry, tonumber(held[i]), ARGV[at + 1]) then
      mine[#mine + 1] = entry
      if string.sub(ARGV[at + 1], 1, 1) == '#' then
        receipts[#receipts + 1] = receipt_field(entry)
      end
      blame(queue.results, entry, word, ARGV[detail + 2])
      successes[#successes + 1] = verdicts[word](queue, entry, ARGV[at + 2], ARGV[at + 4], told > 0 and ARGV[detail])
      queue.last_error = told == 3 and ARGV[detail + 1] or queue.last_error
    else
      late[#late + 1] = i
    end
    detail = detail + told
  end
  call_many('ZREM', queue.leases, mine)
  call_many('HDEL', queue.attempts, receipts)
  record_successes(queue, successes)
  return late, detail
end

-- Leases fresh deliveries. Where others are due, a claim sees to it that both get their share.
local function lease_fresh(queue, want, max, expires)
  if want == 0 or redis.call('ZCOUNT', queue.retries, '-inf', int(t)) > 0 then
    return {}
  end
  local fresh = take_fresh(queue, math.min(want, max - redis.call('ZCARD', queue.leases)))
  lease_all(queue, {}, fresh, expires)
  return fresh
end

local result, arg = { definitions }, 1
for i = 10, #KEYS, 10 do
  local queue = {
    subscription = ARGV[arg], fresh = KEYS[i + 1], retries = KEYS[i + 2], leases = KEYS[i + 3], attempts = KEYS[i + 4], counters = KEYS[i + 5], success_list = KEYS[i + 6],
    lanes = KEYS[i + 8], waiting = KEYS[i + 9],
    finished = {}, results = { faults = 0 }, tried = redis.call('HLEN', KEYS[i + 4]) > 0, keep = tonumber(ARGV[arg + 6]),
    delivered = 0, dead = 0, copied = at_or_before(ARGV[arg + 5], horizon), gone = redis.call('HEXISTS', gone, ARGV[arg]) == 1,
  }
  local max, want, expires = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 7]), int(t + tonumber(ARGV[arg + 8]))
  local breaker = {
    open = KEYS[9], state = KEYS[i + 7], subscription = queue.subscription,
    threshold = tonumber(ARGV[arg + 2]), pause = tonumber(ARGV[arg + 3]), longest = tonumber(ARGV[arg + 4]),
  }
  result[#result + 1], arg = settle_arrivals(queue, arg + 9)
  local late
  late, arg = settle_others(queue, arg)
  result[#result + 1] = #late
  for _, number in ipairs(late) do
    result[#result + 1] = number
  end
  if queue.tried then
    call_many('HDEL', queue.attempts, queue.finished)
  end
  count(queue)
  local gate, failing = 0, 0
  if breaker.threshold > 0 then
    gate, failing = judge(breaker, queue.results, t)
  end
  local still = queue.gone or redis.call('HEXISTS', paused, queue.subscription) == 1
  local fresh = not still and gate == 0 and lease_fresh(queue, want, max, expires) or {}
  local at = not still and reschedule(KEYS[i], queue.subscription, queue.fresh, queue.retries, queue.leases, max, t, gate)
  result[#result + 1] = at and int(math.max(0, at - t)) or 'idle'
  result[#result + 1] = int(failing)
  result[#result + 1], result[#result + 2], result[#result + 3] = expires, #fresh, fresh
end
return result
