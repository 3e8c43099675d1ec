-- What a batch does with triggers: it offers events to partials and plans what is written. The loader puts this in front of apply, behind firing.
-- Nothing here writes, so that whatever goes wrong in it, nothing was done; apply runs the plan.

local COUNTS = { 'firings', 'suppressed', 'over_cap', 'key_missing', 'ignored', 'loops', 'deadlines_dropped' }

-- Reads the arguments that the header of apply lists, from the number of triggers on; keys of triggers begin at the given one. Returns nil where the
-- batch has nothing to do with triggers, and where the arguments go on.
local function read_work(arg, key)
  local triggers, ARGV, KEYS = tonumber(ARGV[arg]), ARGV, KEYS
  if triggers == 0 then
    return nil, arg + 1
  end
  local work = {
    triggers = {}, partials = {}, events = {}, payloads = {}, firings = {}, loops = {},
    most_partials = tonumber(ARGV[arg + 1]), most_bytes = tonumber(ARGV[arg + 2]), most_joined = tonumber(ARGV[arg + 3]), most_weight = tonumber(ARGV[arg + 4]),
  }
  arg = arg + 5
  for i = 1, triggers do
    local trigger = read_program(ARGV[arg])
    trigger.name, trigger.mode, trigger.include, trigger.head = ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3], ARGV[arg + 4]
    trigger.counts = { key_missing = tonumber(ARGV[arg + 5]), ignored = tonumber(ARGV[arg + 6]) }
    trigger.index, trigger.counters = KEYS[key], KEYS[key + 1]
    trigger.scores, trigger.gone, trigger.earliest = {}, {}, NEVER
    work.triggers[i], arg, key = trigger, arg + 7, key + 2
  end
  local partials = tonumber(ARGV[arg])
  arg = arg + 1
  for i = 1, partials do
    work.partials[i] = {
      number = i, trigger = work.triggers[tonumber(ARGV[arg])], key = KEYS[key], member = ARGV[arg + 1], label = ARGV[arg + 2] ~= '' and ARGV[arg + 2],
      state = false, parts = false, bytes = 0, last = false, next = NEVER, added = false, dropped = false, removed = false, wiped = false, settled = false,
    }
    arg, key = arg + 3, key + 1
  end
  local events = tonumber(ARGV[arg])
  arg = arg + 1
  for i = 1, events do
    local name, bytes = ARGV[arg], ARGV[arg + 2]
    local position = sub(name, 1, POSITION)
    work.events[i] = { name = name, position = position, ms = tonumber(sub(name, 1, 14)), time = tonumber(ARGV[arg + 1]), bytes = #bytes }
    work.payloads[position], arg = bytes, arg + 3
  end
  work.offers, work.first = tonumber(ARGV[arg]), arg + 1
  return work, arg + 1 + 3 * work.offers
end

-- The i-th offer: partial, event or nil, leaves.
local function offer_at(work, i)
  local arg = work.first + 3 * (i - 1)
  return work.partials[tonumber(ARGV[arg])], work.events[tonumber(ARGV[arg + 1])], ARGV[arg + 2]
end

local function count(trigger, what)
  trigger.counts[what] = (trigger.counts[what] or 0) + 1
end

-- Whether a key holds what is expected of it; if so, how much.
local function size_of(command, key)
  local size = redis.pcall(command, key)
  return type(size) ~= 'table' and size or nil
end

-- Reads the states of all partials. Returns what refuses the batch, if anything does: a key that holds something else, or so much that only some of the
-- offers can be made in this call.
local function load_partials(work, schedule)
  for i, trigger in ipairs(work.triggers) do
    trigger.size = size_of('ZCARD', trigger.index)
    if not trigger.size or not size_of('HLEN', trigger.counters) or not size_of('ZCARD', schedule) then
      return { 'unusable', 'trigger', i }
    end
    trigger.tight = trigger.size + #work.partials > work.most_partials
  end
  local weight = 0
  for i = 1, work.offers do
    local partial, _, leaves = offer_at(work, i)
    if not partial.parts then
      local state = redis.pcall('HGET', partial.key, 's')
      if type(state) == 'table' or state and not pcall(read_state, partial, state) then
        return { 'unusable', 'partial', partial.number }
      end
      partial.parts, partial.counted = partial.parts or {}, state and true
      weight = weight + (state and 2 * #state or 0) + partial.bytes
    end
    weight = weight + (partial.state and #leaves * #partial.state / 96 or 0)
    if i > 1 and weight > work.most_weight then
      return { 'heavy', i - 1 }
    end
  end
  return nil
end

-- Takes the events that are in use nowhere any more off a partial.
local function release_dropped(work, partial)
  local refs, used = partial.dropped and table.concat(partial.dropped) or '', nil
  for at = 1, #refs, REF do
    local name = sub(refs, at + 2, at + REF - 1)
    local sole = sub(name, -2) == '01' and not partial.trigger.sequence
    if not sole and not used then
      used = {}
      local all = used_refs(partial)
      for place = 1, #all, REF do
        used[sub(all, place + 2, place + REF - 1)] = true
      end
    end
    if sole or not used[name] then
      local position = sub(name, 1, POSITION)
      partial.bytes = partial.bytes - tonumber(sub(name, 27, 34))
      partial.removed = partial.removed or {}
      partial.removed[#partial.removed + 1] = position
      partial.removed[position] = true
      if not sole then
        used[name] = true -- it may have been dropped in several places
      end
    end
  end
  partial.dropped = false
end

-- What becomes of the root's occurrence: a firing, unless the cooldown suppresses it. Either way its events are used up.
local function conclude(work, partial, step, occurrence)
  local trigger = partial.trigger
  local since = partial.last and step.time - partial.last
  if since and since >= 0 and since < trigger.cooldown then
    count(trigger, 'suppressed')
  else
    local firing, hops = firing_of(work, partial, step, occurrence.refs)
    local looped = hops > 16
    local into = looped and work.loops or work.firings
    into[#into + 1] = firing
    count(trigger, looped and 'loops' or 'firings')
    partial.last = trigger.cooldown > 0 and step.time
  end
  drop(partial, occurrence.refs)
end

-- Takes back what waits for a deadline, without effect, and counts it.
local function disarm(partial, due)
  for number, node in ipairs(partial.trigger.nodes) do
    local slots = node.kind == 'absent' and partial.parts[number]
    if slots and slots[ARMED] and slots[ARMED].time == due then
      set_slot(partial, slots, ARMED, nil)
      count(partial.trigger, 'deadlines_dropped')
    end
  end
end

-- Settles what falls due before a time, in order: each deadline is a step, and when all that is left is of no use any more, it goes. While a trigger is
-- disabled, its deadlines pass without effect.
local function settle(work, partial, before)
  local at, due = next_of(partial)
  while at and at < before do
    if not due then
      clear(partial)
      partial.last = false
    elseif partial.trigger.mode == 'off' then
      disarm(partial, at)
    else
      local step = { time = at, position = digits(at, 14) .. '9999999999', deadline = true }
      local occurrence = evaluate(partial, step, {})
      if occurrence then
        conclude(work, partial, step, occurrence)
      end
    end
    at, due = next_of(partial)
  end
  partial.next = at or NEVER
end

-- The number of leaves that an event meets, as text has them.
local function count_leaves(leaves)
  if #leaves == 2 then
    return 1
  end
  local _, commas = string.gsub(leaves, ',', ',')
  return commas + 1
end

-- Offers an event to a partial: first to what resets it, then to the condition.
local function offer_event(work, partial, event, leaves)
  if sub(leaves, 1, 1) == 'r' then
    clear(partial)
    leaves = sub(leaves, 3)
  end
  if leaves == '' then
    return
  end
  local trigger, met, position = partial.trigger, {}, event.position
  local step = { time = trigger.ages and event.ms or event.time, position = position, name = event.name .. digits(count_leaves(leaves), 2) }
  partial.added = partial.added or {}
  partial.added[#partial.added + 1] = position
  partial.bytes, partial.next = partial.bytes + event.bytes, -1
  for leaf, value in string.gmatch(leaves, '(%d%d):?([^,]*)') do
    local number = trigger.leaves[leaf]
    local occurrence = meet(partial, number, step, value ~= '' and value)
    if occurrence then
      offer_up(met, trigger.nodes[number], occurrence)
    end
  end
  local occurrence = evaluate(partial, step, met)
  if occurrence then
    conclude(work, partial, step, occurrence)
  end
end

local function shorten(list, length)
  for i = #list, length + 1, -1 do
    list[i] = nil
  end
end

-- Keeps count of the partials that hold something.
local function recount(partial, holds)
  if holds ~= partial.counted then
    partial.trigger.size = partial.trigger.size + (holds and 1 or -1)
    partial.counted = holds
  end
end

-- A copy of a list of positions, which are also its keys where it says so.
local function copy(list)
  local same = list and {}
  for i, position in ipairs(list or {}) do
    same[i], same[position] = position, list[position]
  end
  return same
end

-- Offers an event to a partial where a cap may not allow it: what would leave more than that is not recorded, and changes nothing.
local function try_event(work, partial, event, leaves)
  local trigger, original = partial.trigger, partial.state
  release_dropped(work, partial)
  local state, wiped, added, removed = state_of(partial), partial.wiped, copy(partial.added), copy(partial.removed)
  recount(partial, state ~= nil)
  local counts, firings, loops = trigger.counts, #work.firings, #work.loops
  trigger.counts = {}
  for _, what in ipairs(COUNTS) do
    trigger.counts[what] = counts[what]
  end
  offer_event(work, partial, event, leaves)
  release_dropped(work, partial)
  local holds = state_of(partial) ~= nil
  if partial.bytes <= work.most_bytes and (not holds or state or trigger.size < work.most_partials) then
    recount(partial, holds)
    return
  end
  read_state(partial, state or false)
  partial.state, partial.wiped, partial.added, partial.removed = original, wiped, added, removed
  shorten(work.firings, firings)
  shorten(work.loops, loops)
  trigger.counts = counts
  count(trigger, 'over_cap')
end

-- Makes an offer to a partial whose deadlines up to then are settled.
local function make_offer(work, partial, event, leaves, before)
  if partial.next < before then
    settle(work, partial, before)
  end
  if not event then
    partial.settled = true
  elseif partial.trigger.tight or partial.bytes + event.bytes > work.most_bytes then
    try_event(work, partial, event, leaves)
  else
    offer_event(work, partial, event, leaves)
  end
end

-- Makes all offers; where it is only about deadlines, they are those before a time. Returns what refuses the batch, if anything does: a partial that turns
-- out to be none.
local function make_offers(work, before)
  for i = 1, work.offers do
    local partial, event, leaves = offer_at(work, i)
    if not pcall(make_offer, work, partial, event, leaves, event and event.ms or before) then
      return { 'unusable', 'partial', partial.number }
    end
  end
  return nil
end

-- Plans a command with any number of arguments.
local function plan_many(plan, command, key, args)
  for first = 1, #args, 1000 do
    plan[#plan + 1] = { command, key, unpack(args, first, math.min(first + 999, #args)) }
  end
end

-- The recorded events of a partial that are gone.
local function gone_events(work, partial)
  local gone = {}
  if partial.wiped then
    local before = { trigger = partial.trigger }
    read_state(before, partial.state)
    local refs, seen = used_refs(before), {}
    for at = 3, #refs, REF do
      local position = sub(refs, at, at + POSITION - 1)
      if not seen[position] then
        seen[position], gone[#gone + 1] = true, position
      end
    end
    return gone
  end
  for _, position in ipairs(partial.removed or {}) do
    if not work.payloads[position] then
      gone[#gone + 1] = position
    end
  end
  return gone
end

-- Plans what is written of a partial that holds something.
local function plan_kept(plan, work, partial, state)
  local trigger = partial.trigger
  local fields, removed = { 's', state }, partial.removed or {}
  if not partial.state then
    fields[3], fields[4] = 'k', partial.label or ''
  end
  for _, position in ipairs(partial.added or {}) do
    if not removed[position] then
      fields[#fields + 1], fields[#fields + 2] = position, work.payloads[position]
    end
  end
  plan_many(plan, 'HSET', partial.key, fields)
  if partial.state and (partial.wiped or partial.removed) then
    plan_many(plan, 'HDEL', partial.key, gone_events(work, partial))
  end
end

-- Plans what is written of a partial. Its key is never deleted while anything of it stays.
local function plan_partial(plan, work, partial)
  local trigger, scores = partial.trigger, partial.trigger.scores
  local holds = partial.last or next(partial.parts)
  if holds and partial.dropped then
    release_dropped(work, partial)
  end
  local state = holds and state_of(partial)
  if state then
    if state ~= partial.state then
      plan_kept(plan, work, partial, state)
    end
    scores[#scores + 1], scores[#scores + 2] = partial.next < NEVER and partial.next or '+inf', partial.member
    trigger.earliest = math.min(trigger.earliest, partial.next)
  elseif partial.state or partial.settled then
    plan[#plan + 1] = { 'UNLINK', partial.key }
    trigger.gone[#trigger.gone + 1] = partial.member
  end
end

-- Plans what is written of all partials and triggers.
local function plan_work(plan, work, schedule)
  local earliest = {}
  for _, partial in ipairs(work.partials) do
    plan_partial(plan, work, partial)
  end
  for _, trigger in ipairs(work.triggers) do
    plan_many(plan, 'ZADD', trigger.index, trigger.scores)
    plan_many(plan, 'ZREM', trigger.index, trigger.gone)
    earliest[#earliest + 1], earliest[#earliest + 2] = trigger.earliest < NEVER and trigger.earliest or '+inf', trigger.name
    for _, what in ipairs(COUNTS) do
      if (trigger.counts[what] or 0) > 0 then
        plan[#plan + 1] = { 'HINCRBY', trigger.counters, what, trigger.counts[what] }
      end
    end
  end
  for first = 1, #earliest, 1000 do
    plan[#plan + 1] = { 'ZADD', schedule, 'LT', unpack(earliest, first, math.min(first + 999, #earliest)) }
  end
end

-- Sets anew when to look at triggers whose deadlines were settled.
local function reschedule_triggers(work, schedule)
  for _, trigger in ipairs(work.triggers) do
    redis.call('ZADD', schedule, redis.call('ZRANGE', trigger.index, 0, 0, 'WITHSCORES')[2] or '+inf', trigger.name)
  end
end
