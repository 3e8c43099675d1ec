--[[
Moves a partition's cursor over one batch, queues what the batch delivers and offers its events to triggers; of a queue that was empty, the first
deliveries are leased to the caller at once, as claim would. A batch without events settles deadlines instead. The comparison of cursor and token is
dedupe, fence and acknowledgement in one: either all of the batch is applied, once, or nothing of it.

KEYS
  1 state      hash    the partition's state
  2 log        stream  the partition's log
  3 ready      zset    queues that any replica can send from
  4 handlers   zset    queues of Go handlers
  5 copies     hash    events kept beyond the log
  6 holds      hash    who keeps them
  7 dead       hash    dead letters
  8 dead_at    zset    when they were made
  9 announced  list    the last changes of the definitions
  10 triggers   zset    trigger and generation to when to look at its partials
  11 paused     hash    paused subscriptions
  12 pulls      zset    queues that workers pull from
  13 open       hash    subscriptions whose breaker is open, and from when on it lets an attempt through
  14… queues           three for each queue: fresh list, leases zset, counters hash; where its backlog has a cap, two more: retries zset, waiting zset
  … triggers           two for each trigger: partials zset, counters hash
  … partials   hash or string  one for each partial

ARGV
  1 from        cursor that the batch starts from: stream ID
  2 from_target and the target within that event
  3 token       of the definitions that the batch was matched under
  4 to          cursor after the batch
  5 to_target
  6 events      number of events that the batch completes
  7 looped      record of the dead letter that a firing becomes which was derived too often
  8 queues      number of queues; then for each: subscription, "ready" | "handlers" | "pulls" | "off", max in flight, how many to lease at most,
                for how many milliseconds, how many deliveries it may hold or "0", number of entries, entries
  … triggers    number of triggers; if there are any: how many partials each may have, bytes that each of these may hold, bytes that a firing may join,
                and weight that this call may have; then for each trigger: program, its name in the schedule, "on" | "off", "events" | "refs", head of
                its firings, number of leaves that found no key in an event, number of events that it ignored
  … partials    for each trigger: number of partials, and the key of each, "" where only deadlines are settled
  … events      number of events that are offered; for each: position, hops, bytes (36 digits, see partial) and, unless it is that of acceptance, time; the
                event
  … offers      number of offers; for each: number of the partial, number of the event or 0: only deadlines, leaves that the event meets: "r" where
                one of them resets, then for each two digits and for distinct ones ":" and 32 characters, separated by commas; with spaces between them, or only the
                leaves where the numbers are by one more than those of the offer before, or both 1
  … poison      for each entry or delivery that can't be routed: stream ID, subscription or "log", record

RETURNS  {"fenced", cursor, target} (the cursor stands elsewhere, or the log does not have the batch: what was read may have been lost
         in a failover) | {"stale", token} | {"unusable", "queue" | "trigger" | "partial", number} (a key of that one, counted from 1, holds
         something else) | {"heavy", how many of the offers one call can make} | {"crowded", how many entries one call can queue where so many find no room} |
         {"applied", number of firings, the last ID given out before them, number of entries that they are in or, where these are large, 0, for each: its ID,
         the entry; "all" | "some" (of the deadlines that have passed may have to wait for events), then three for each queue that was empty and could be sent from: the queue, how many were leased,
         when the leases run out}
]]
local state, log, copies, holds = KEYS[1], KEYS[2], KEYS[5], KEYS[6]
local from, from_target, token, to, to_target = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local s = redis.call('HMGET', state, 'cursor', 'target', 'token', 'floor', 'seq', 'size', 'stored', 'settled', 'loops', 'routed')
if (s[1] or '0-0') ~= from or (s[2] or '') ~= from_target then
  return { 'fenced', s[1] or '0-0', s[2] or '' }
end

-- The log of a replica that took over is what was stored up to some moment, so the batch's last event stands for all. It is there if it is the last
-- one given out. (miniredis has no replicas, and searches a stream from its beginning.)
local settles = ARGV[6] == '0' and from == to and from_target == to_target
local given_out = (s[4] or '0') .. '-' .. (s[5] or '0')
if redis.REDIS_VERSION and not settles and to ~= given_out and not entry_at(log, to) then
  return { 'fenced', from, from_target }
end

-- Whether every event of the batch was accepted before the first change after the definitions that it was matched under.
local function older_than_changes()
  local mine = tonumber(string.match(token, '^%d+') or 0)
  local first
  for _, change in ipairs(redis.call('LRANGE', KEYS[9], 0, -1)) do
    local version, last = string.match(change, '^(%d+) (.*)$')
    if tonumber(version) > mine then
      return first and at_or_before(to, last)
    end
    first = version
  end
  return false
end

if (s[3] or '') ~= token and (settles or not older_than_changes()) then
  return { 'stale', s[3] or '' }
end

-- Tells whether a subscription is in a hash, which mostly is empty.
local function membership(key)
  local any = redis.call('HLEN', key) > 0
  return function(subscription)
    return any and redis.call('HEXISTS', key, subscription) == 1
  end
end
local paused, open = membership(KEYS[11]), membership(KEYS[13])

-- Read all that the writes depend on, so that nothing can fail between two of them.
local queues, crowd = {}, 0
local arg, key = 9, 14
for i = 1, tonumber(ARGV[8]) do
  local count, cap, over = tonumber(ARGV[arg + 6]), tonumber(ARGV[arg + 5]), 0
  local length, flying = redis.pcall('LLEN', KEYS[key]), redis.pcall('ZCARD', KEYS[key + 1])
  local counters = redis.pcall('HLEN', KEYS[key + 2])
  if type(length) == 'table' or type(flying) == 'table' or type(counters) == 'table' then
    return { 'unusable', 'queue', i }
  end
  if cap > 0 then
    local retrying, behind = redis.pcall('ZCARD', KEYS[key + 3]), redis.pcall('ZCARD', KEYS[key + 4])
    if type(retrying) == 'table' or type(behind) == 'table' then
      return { 'unusable', 'queue', i }
    end
    over = math.min(count, math.max(0, length + flying + retrying + behind + count - cap))
    crowd = crowd + over
  end
  count = count - over
  local room = length == 0 and not paused(ARGV[arg]) and tonumber(ARGV[arg + 2]) - flying or 0
  queues[i] = {
    subscription = ARGV[arg], class = ARGV[arg + 1], fresh = KEYS[key], leases = KEYS[key + 1], counters = KEYS[key + 2],
    first = arg + 7, count = count, over = over, room = room,
    take = open(ARGV[arg]) and 0 or math.max(0, math.min(room, tonumber(ARGV[arg + 3]), count)), lease = tonumber(ARGV[arg + 4]),
  }
  arg, key = arg + 7 + count + over, key + (cap > 0 and 5 or 3)
end

-- How many deliveries that find no room one call can make dead letters of, each with its event.
local most_crowded = 250
if crowd > most_crowded then
  return { 'crowded', most_crowded }
end

-- Before when deadlines can be settled: no event that comes to be applied was accepted earlier. When all of the log is applied, none will be.
local function settled_before()
  local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  if from_target == '' and (not last or at_or_before(last[1], from)) then
    return math.max(now(), tonumber(s[4] or 0), tonumber(s[8] or 0)), true
  end
  return tonumber(string.match(from, '^%d+')), false
end

local plan, work, before, final, told = {}, nil, nil, nil, {}
if ARGV[arg] == '0' then
  arg = arg + 1 -- and nothing that evaluates triggers is loaded
else
  work, arg = read_work(arg, key)
end
if work then
  if settles then
    before, final = settled_before()
  end
  local refused = join(work, KEYS[10], before)
  if refused then
    return refused
  end
  local known = { floor = tonumber(s[4] or 0), seq = tonumber(s[5] or 0), size = tonumber(s[6] or 0), stored = tonumber(s[7] or 0), settled = tonumber(s[8] or 0) }
  told = plan_log(plan, log, state, work.firings, known)
  plan_loops(plan, { copies = copies, holds = holds, dead = KEYS[7], dead_at = KEYS[8] }, state, work.loops, ARGV[7], tonumber(s[9] or 0))
  plan_work(plan, work, KEYS[10])
  if final then
    plan[#plan + 1] = { 'HSET', state, 'settled', int(before) }
  end
end

local applied = { 'applied', work and #work.firings or 0, given_out, #told / 2, told, final and 'all' or 'some' }
local due = { ready = {}, handlers = {}, pulls = {} }
local t = (#queues > 0 or arg <= #ARGV) and now() or 0 -- where nothing is queued there is nothing to date

local function lease(queue, expires)
  local leases = {}
  for i = 1, queue.take do
    leases[2 * i - 1], leases[2 * i] = expires, ARGV[queue.first + i - 1]
  end
  call_many('ZADD', queue.leases, leases)
end

local function enqueue(queue)
  local last = queue.first + queue.count - 1
  for first = queue.first + queue.take, last, 1000 do
    redis.call('RPUSH', queue.fresh, unpack(ARGV, first, math.min(first + 999, last)))
  end
end

local copied, holders = {}, {} -- IDs of the events that dead letters keep, and for how many of them

-- What the queue's cap leaves no room for, the newest, becomes dead letters.
local function bury(queue)
  local names, times, held = {}, {}, {}
  for i = queue.first + queue.count, queue.first + queue.count + queue.over - 1 do
    local id, name = id_of(ARGV[i]), without_lane(ARGV[i]) .. ' ' .. queue.subscription
    names[#names + 1], names[#names + 2] = name, '0\n{"at":' .. int(t) .. ',"outcome":"backlog-full"}\n'
    times[#times + 1], times[#times + 2] = int(t), name
    held[#held + 1], held[#held + 2] = id .. ' dead ' .. name, ''
    if not holders[id] then
      copied[#copied + 1], holders[id] = id, 0
    end
    holders[id] = holders[id] + 1
  end
  call_many('HSET', KEYS[7], names)
  call_many('ZADD', KEYS[8], times)
  call_many('HSET', holds, held)
  redis.call('HINCRBY', queue.counters, 'dead', queue.over)
  redis.call('HINCRBY', queue.counters, 'over_cap', queue.over)
end

-- Copies the events that dead letters keep, as hold does, and takes each entry of the log apart once.
local function copy_events()
  local text, spans, last_ms, last
  local function span_of(id)
    local ms, seq = string.match(id, '^(%d+)-(%d+)')
    return spans and ms == last_ms and spans[#spans - (last - seq)]
  end
  for _, id in ipairs(copied) do
    if redis.call('HINCRBY', copies, '#' .. id, holders[id]) == holders[id] then
      if not span_of(id) then
        local entry = redis.call('XRANGE', log, id, '+', 'COUNT', 1)[1] or { id, {} }
        text = entry[2][4] or entry[2][2] or ''
        spans, last_ms, last = events_of(text), string.match(entry[1], '^(%d+)-(%d+)')
      end
      local span = span_of(id)
      redis.call('HSET', copies, id, span and string.sub(text, span[1], span[2]) or text)
    end
  end
end

-- Where there was room, the queue is looked at now if that left some, else when its leases run out.
local function schedule(i, queue, expires)
  local list = due[queue.class]
  list[#list + 1] = queue.take < math.min(queue.count, queue.room) and int(t) or expires
  list[#list + 1] = queue.subscription
  applied[#applied + 1] = i
  applied[#applied + 1] = queue.take
  applied[#applied + 1] = expires
end

for _, command in ipairs(plan) do
  redis.call(unpack(command))
end

for i, queue in ipairs(queues) do
  if queue.class == 'off' then
    redis.call('HINCRBY', queue.counters, 'not_queued', queue.count)
  else
    local expires = int(t + queue.lease)
    lease(queue, expires)
    enqueue(queue)
    if queue.over > 0 then
      bury(queue)
    end
    if queue.room > 0 and queue.count > 0 then
      schedule(i, queue, expires)
    end
  end
end
copy_events()

local function look(at, list)
  for first = 1, #list, 1000 do
    redis.call('ZADD', at, 'LT', unpack(list, first, math.min(first + 999, #list)))
  end
end
look(KEYS[3], due.ready)
look(KEYS[4], due.handlers)
look(KEYS[12], due.pulls)

for i = arg, #ARGV, 3 do
  make_letter(log, copies, holds, KEYS[7], KEYS[8], ARGV[i] .. ' ' .. ARGV[i + 1], ARGV[i + 2], t)
end

if settles and work then
  reschedule_triggers(work, KEYS[10])
end

redis.call('HSET', state, 'cursor', to, 'target', to_target, 'routed', int(tonumber(s[10] or 0) + tonumber(ARGV[6])))
return applied
