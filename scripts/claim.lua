--[[
Leases deliveries of some queues to a sender: first those whose lease ran out, then retries that are due and fresh ones. When a lease runs
out is also what names it: a later lease of the same delivery always runs out later. A worker that pulls may change how long its lease is, so that is named by a receipt.

KEYS
  1 state      hash    the partition's state
  2 log        stream  the partition's log
  3 copies     hash    events kept beyond the log
  4 holds      hash    who keeps them
  5 gone       hash    deleted subscriptions
  6 paused     hash    paused subscriptions
  7 open       hash    subscriptions whose breaker is open, and from when on it lets an attempt through
  8… queues            nine for each queue: schedule zset, fresh list, retries zset, leases zset, attempts hash, counters hash, breaker hash, lanes hash,
                       waiting zset

ARGV
  1… queues    for each: subscription, how many at most, max in flight, lease in milliseconds, in how many milliseconds to look again at the earliest, "here"
               (its breaker is) | "" (it has none, or permits were asked of it), "" or the receipt of a worker that pulls, a space, and the worker's name

RETURNS  {definitions' token, then for each queue: when the leases run out, number of deliveries that were tried before, for each: entry
         and attempt, number of fresh deliveries, a list of their entries}
]]
local gone, paused = KEYS[5], KEYS[6]
local result = { definitions }

-- The deliveries whose lease ran out count as an attempt that did not come to an end.
local function take_expired(queue, want, into)
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', queue.leases, '-inf', int(t), 'LIMIT', 0, want)) do
    local record, attempt = with_expired(redis.call('HGET', queue.attempts, entry) or '0\n', t)
    redis.call('HSET', queue.attempts, entry, record)
    into[#into + 1] = { entry, attempt + 1 }
  end
end

local function take_retries(queue, want, into)
  local due = redis.call('ZRANGEBYSCORE', queue.retries, '-inf', int(t), 'LIMIT', 0, want)
  if #due == 0 then
    return
  end
  local attempts = redis.call('HMGET', queue.attempts, unpack(due))
  call_many('ZREM', queue.retries, due)
  for i, entry in ipairs(due) do
    into[#into + 1] = { entry, tonumber(string.match(attempts[i] or '0', '^%d+')) + 1 }
  end
end

-- Up to want deliveries; of retries that are due and fresh ones each gets its half where both could fill all.
local function take(queue, want, max)
  local tried = {}
  take_expired(queue, want, tried)
  local room = math.min(want - #tried, max - redis.call('ZCARD', queue.leases))
  if room < 1 then
    return tried, {}
  end
  local fresh, before = redis.call('LLEN', queue.fresh), #tried
  take_retries(queue, room - math.min(fresh, math.floor(room / 2)), tried)
  return tried, take_fresh(queue, room - (#tried - before))
end

-- Says beside the attempts who holds the leases: expiry and entry in turn.
local function note_receipts(attempts, leases, receipt)
  local notes = {}
  for i = 2, #leases, 2 do
    notes[i - 1], notes[i] = receipt_field(leases[i]), receipt .. '\n'
  end
  call_many('HSET', attempts, notes)
end

local function lease(queue, tried, fresh, expires, receipt)
  local leases = {}
  result[#result + 1] = expires
  result[#result + 1] = #tried
  for _, delivery in ipairs(tried) do
    leases[#leases + 1], leases[#leases + 2] = expires, delivery[1]
    result[#result + 1], result[#result + 2] = delivery[1], int(delivery[2])
    keep(queue, delivery[1])
  end
  result[#result + 1], result[#result + 2] = #fresh, fresh
  lease_all(queue, leases, fresh, expires)
  if receipt ~= '' then
    note_receipts(queue.attempts, leases, receipt)
  end
end

-- How many deliveries may be taken, and when to look again at the earliest. An open breaker lets one through, when its time has come.
local function allowed(queue)
  if not queue.breaker then
    return queue.want, queue.gate
  end
  local open = open_until(queue.breaker)
  queue.probing = open and t >= open
  if queue.probing then
    return math.min(queue.want, 1), queue.gate
  end
  return open and 0 or queue.want, math.max(open or 0, queue.gate)
end

local any_open = redis.call('HLEN', KEYS[7]) > 0
for i = 8, #KEYS, 9 do
  local arg = 1 + (i - 8) / 9 * 7
  local wait = tonumber(ARGV[arg + 4])
  local queue = {
    subscription = ARGV[arg], fresh = KEYS[i + 1], retries = KEYS[i + 2], leases = KEYS[i + 3], attempts = KEYS[i + 4], counters = KEYS[i + 5],
    lanes = KEYS[i + 7], waiting = KEYS[i + 8],
    want = tonumber(ARGV[arg + 1]), gate = wait > 0 and t + wait or 0,
    breaker = any_open and ARGV[arg + 5] == 'here' and { open = KEYS[7], state = KEYS[i + 6], subscription = ARGV[arg] },
  }
  local max, expires = tonumber(ARGV[arg + 2]), int(t + tonumber(ARGV[arg + 3]))
  if redis.call('HEXISTS', gone, queue.subscription) == 1 or redis.call('HEXISTS', paused, queue.subscription) == 1 then
    lease(queue, {}, {}, expires, '')
    redis.call('ZREM', KEYS[i], queue.subscription)
  else
    local want, gate = allowed(queue)
    local tried, fresh = take(queue, want, max)
    lease(queue, tried, fresh, expires, ARGV[arg + 6])
    if queue.probing and #tried + #fresh > 0 then
      begin_probe(queue.breaker, tried[1] and tried[1][1] or fresh[1], expires)
      gate = math.max(gate, tonumber(expires))
    end
    reschedule(KEYS[i], queue.subscription, queue.fresh, queue.retries, queue.leases, max, t, gate)
  end
end
return result
