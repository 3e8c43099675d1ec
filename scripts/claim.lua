--[[
Leases deliveries of some queues to a sender: first those whose lease ran out, then retries that are due and fresh ones.

KEYS
  1 state      hash    the partition's state
  2 log        stream  the partition's log
  3 copies     hash    events kept beyond the log
  4 holds      hash    who keeps them
  5 gone       set     deleted subscriptions
  6… queues            six for each queue: schedule zset, fresh list, retries zset, leases zset, tokens hash, attempts hash

ARGV
  1 token      names this claim; settle asks for it
  2… queues    for each: subscription, how many at most (0: none has a permit now, look again soon), max in flight, lease in
               milliseconds

RETURNS  {definitions' token, then for each queue: number of deliveries, for each: stream ID (and what follows it), attempt}
]]
local log, copies, holds, gone = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local token = ARGV[1]
local t = now()
local s = redis.call('HMGET', KEYS[1], 'token', 'horizon')
local horizon = s[2] or '0-0'
local result = { s[1] or '' }

-- The deliveries whose lease ran out count as an attempt without an outcome.
local function take_expired(queue, want, into)
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', queue.leases, '-inf', int(t), 'LIMIT', 0, want)) do
    local attempt = tonumber(string.match(redis.call('HGET', queue.tokens, entry), '^%d+'))
    local old = redis.call('HGET', queue.attempts, entry) or (int(attempt - 1) .. '\n')
    old = string.gsub(old, '^%d+', int(attempt), 1)
    redis.call('HSET', queue.attempts, entry, old .. '{"at":' .. int(t) .. ',"outcome":"expired"}\n')
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

local function take_fresh(queue, want, into)
  local fresh = redis.call('LPOP', queue.fresh, want) or {}
  if #fresh > 0 then
    redis.call('HINCRBY', queue.tokens, 'popped', #fresh)
  end
  for _, entry in ipairs(fresh) do
    into[#into + 1] = { entry, 1 }
  end
end

local function lease(queue, taken, expires)
  local leases, tokens = {}, {}
  for _, delivery in ipairs(taken) do
    local entry, attempt = delivery[1], int(delivery[2])
    leases[#leases + 1] = expires
    leases[#leases + 1] = entry
    tokens[#tokens + 1] = entry
    tokens[#tokens + 1] = attempt .. ' ' .. token
    result[#result + 1] = entry
    result[#result + 1] = attempt
    if at_or_before(entry, horizon) then
      hold(log, copies, holds, string.match(entry, '^%d+-%d+'), queue.subscription .. string.match(entry, '^%d+-%d+(.*)'))
    end
  end
  call_many('ZADD', queue.leases, leases)
  call_many('HSET', queue.tokens, tokens)
end

-- Up to want deliveries; of retries that are due and fresh ones each gets its half where both could fill all.
local function take(queue, want, max)
  local taken = {}
  take_expired(queue, want, taken)
  local room = math.min(want - #taken, max - redis.call('ZCARD', queue.leases))
  if room > 0 then
    local fresh = redis.call('LLEN', queue.fresh)
    local before = #taken
    take_retries(queue, room - math.min(fresh, math.floor(room / 2)), taken)
    room = room - (#taken - before)
    if fresh > 0 and room > 0 then
      take_fresh(queue, room, taken)
    end
  end
  return taken
end

for i = 6, #KEYS, 6 do
  local arg = 2 + (i - 6) / 6 * 4
  local queue = {
    subscription = ARGV[arg], fresh = KEYS[i + 1], retries = KEYS[i + 2], leases = KEYS[i + 3], tokens = KEYS[i + 4], attempts = KEYS[i + 5],
  }
  local want, max = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
  if redis.call('SISMEMBER', gone, queue.subscription) == 1 then
    redis.call('ZREM', KEYS[i], queue.subscription)
    result[#result + 1] = 0
  else
    local taken = take(queue, want, max)
    result[#result + 1] = #taken
    lease(queue, taken, int(t + tonumber(ARGV[arg + 3])))
    reschedule(KEYS[i], queue.subscription, queue.fresh, queue.retries, queue.leases, max, t)
    if want == 0 then
      redis.call('ZADD', KEYS[i], 'XX', int(t + 50), queue.subscription)
    end
  end
end
return result
