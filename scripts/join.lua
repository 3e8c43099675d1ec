-- What a batch does with triggers: it offers events to partials and plans what is written. The loader puts this in front of apply, behind shortcut.
-- Nothing here writes, so that whatever goes wrong in it, nothing was done; apply runs the plan.

local COUNTS = { 'firings', 'suppressed', 'over_cap', 'key_missing', 'ignored', 'loops', 'deadlines_dropped' }

-- Reads the arguments that the header of apply lists, from the number of triggers on; keys of triggers begin at the given one. Returns nil where the
-- batch has nothing to do with triggers, and where the arguments go on.
local function read_work(arg, key)
  local ARGV, KEYS = ARGV, KEYS
  local triggers = tonumber(ARGV[arg])
  if triggers == 0 then
    return nil, arg + 1
  end
  local work = {
    triggers = {}, partials = {}, events = {}, payloads = {}, times = {}, singles = {}, firings = {}, loops = {}, weight = 0,
    most_partials = tonumber(ARGV[arg + 1]), most_bytes = tonumber(ARGV[arg + 2]), most_joined = tonumber(ARGV[arg + 3]), most_weight = tonumber(ARGV[arg + 4]),
  }
  arg = arg + 5
  for i = 1, triggers do
    local program = read_program(ARGV[arg])
    local trigger = { program = program, pair = program.pair, ages = program.ages, cooldown = program.cooldown, nodes = program.nodes, leaves = program.leaves, sequence = program.sequence }
    trigger.name, trigger.mode, trigger.include, trigger.head = ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3], varint_text(#ARGV[arg + 4]) .. ARGV[arg + 4]
    trigger.counts = { key_missing = tonumber(ARGV[arg + 5]), ignored = tonumber(ARGV[arg + 6]) }
    trigger.index, trigger.counters = KEYS[key], KEYS[key + 1]
    trigger.scores, trigger.gone, trigger.freed, trigger.openings, trigger.earliest = {}, {}, {}, {}, NEVER
    work.triggers[i], arg, key = trigger, arg + 7, key + 2
  end
  local number = 0
  work.keys = key - 1 -- of partials begin behind it
  for i = 1, triggers do
    local trigger, last = work.triggers[i], number + tonumber(ARGV[arg])
    arg = arg + 1
    while number < last do
      number = number + 1
      work.partials[number] = {
        number = number, trigger = trigger, key = KEYS[key], label = ARGV[arg], single = nil, text = nil, event = nil, next = nil, -- what a shortcut takes
      }
      arg, key = arg + 1, key + 1
    end
  end
  local events = tonumber(ARGV[arg])
  work.named = arg - 1
  arg = arg + 1 + 2 * events
  work.offers, work.first = tonumber(ARGV[arg]), arg + 1
  return work, arg + 1 + work.offers
end

local function count(trigger, what)
  trigger.counts[what] = (trigger.counts[what] or 0) + 1
end

-- Whether a key holds what is expected of it; if so, how much.
local function size_of(command, key)
  local size = redis.pcall(command, key)
  return type(size) ~= 'table' and size or nil
end

-- Looks at the keys of the triggers. Returns what refuses the batch, if anything does: a key that holds something else.
local function load_triggers(work, schedule)
  local scheduled = size_of('ZCARD', schedule)
  for i, trigger in ipairs(work.triggers) do
    trigger.size = size_of('ZCARD', trigger.index)
    if not scheduled or not trigger.size or not size_of('HLEN', trigger.counters) then
      return { 'unusable', 'trigger', i }
    end
    trigger.tight, trigger.plain = trigger.size + #work.partials > work.most_partials, is_plain(trigger.program)
  end
  return nil
end

-- Takes the events that are in use nowhere any more off a partial.
local function release_dropped(partial)
  local refs, used = partial.dropped and concat(partial.dropped) or '', nil
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
  partial.dropped = nil
end

-- What becomes of the root's occurrence: a firing, unless the cooldown suppresses it. Either way its events are used up.
local function conclude(work, partial, step, occurrence)
  local trigger = partial.trigger
  local since = partial.last and step.time - partial.last
  if since and since >= 0 and since < trigger.cooldown then
    count(trigger, 'suppressed')
  else
    fire(work, partial, step, occurrence.refs)
    partial.last = trigger.cooldown > 0 and step.time or nil
  end
  drop(partial, occurrence.refs)
end

-- Takes back what waits for a deadline, without effect, and counts it.
local function disarm(partial, due)
  for number, node in ipairs(partial.trigger.nodes) do
    local slots = node.kind == 'absent' and part_of(partial, number)
    if slots and slots[ARMED] and slots[ARMED].time == due then
      set_slot(partial, slots, ARMED, nil)
      keep(partial, number, slots)
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
      partial.last = nil
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

local function offer_leaf(partial, event, met, leaf, value)
  local number = partial.trigger.leaves[leaf]
  local occurrence = meet(partial, number, event, value)
  if occurrence then
    offer_up(met, partial.trigger.nodes[number], occurrence)
  end
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
  local trigger, met = partial.trigger, {}
  event.time = (trigger.ages or not event.own) and event.ms or event.own
  event.name = event.base .. digits(count_leaves(leaves), 2)
  partial.bytes, partial.next = partial.bytes + event.bytes, -1
  if partial.added then
    partial.added[#partial.added + 1] = event.position
  else
    partial.added = { event.position }
  end
  if #leaves == 2 then
    offer_leaf(partial, event, met, leaves)
  else
    for leaf, value in string.gmatch(leaves, '(%d%d):?([^,]*)') do
      offer_leaf(partial, event, met, leaf, value ~= '' and value)
    end
  end
  local occurrence = evaluate(partial, event, met)
  if occurrence then
    conclude(work, partial, event, occurrence)
  end
end

local function holds(partial)
  return next(partial.parts) ~= nil or partial.last ~= nil
end

-- Keeps count of the partials that hold something.
local function recount(partial)
  local now_holds = holds(partial)
  if now_holds ~= partial.counted then
    partial.trigger.size = partial.trigger.size + (now_holds and 1 or -1)
    partial.counted = now_holds
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

-- What an event can change of a partial, and of what is counted and fired with it.
local function save(work, partial)
  local saved = {
    parts = {}, bytes = partial.bytes, last = partial.last, wiped = partial.wiped, added = copy(partial.added), removed = copy(partial.removed),
    firings = #work.firings, loops = #work.loops, counts = {},
  }
  for number, node in ipairs(partial.trigger.nodes) do
    local part = partial.parts[number]
    if type(part) == 'table' and not part.away then
      local slots = {}
      for i = 1, node.size do
        slots[i] = part[i]
      end
      part = slots
    end
    saved.parts[number] = part
  end
  for _, what in ipairs(COUNTS) do
    saved.counts[what] = partial.trigger.counts[what]
  end
  return saved
end

local function restore(work, partial, saved)
  partial.parts, partial.bytes, partial.last, partial.wiped, partial.added, partial.removed = saved.parts, saved.bytes, saved.last, saved.wiped, saved.added, saved.removed
  for _, list in ipairs({ { work.firings, saved.firings }, { work.loops, saved.loops } }) do
    for i = #list[1], list[2] + 1, -1 do
      list[1][i] = nil
    end
  end
  partial.trigger.counts = saved.counts
end

-- Offers an event to a partial where a cap may not allow it: what would leave more than that is not recorded, and changes nothing.
local function try_event(work, partial, event, leaves)
  local trigger = partial.trigger
  release_dropped(partial)
  recount(partial)
  local saved, held = save(work, partial), holds(partial)
  offer_event(work, partial, event, leaves)
  release_dropped(partial)
  if partial.bytes > work.most_bytes or holds(partial) and not held and trigger.size >= work.most_partials then
    restore(work, partial, saved)
    count(trigger, 'over_cap')
  end
  recount(partial)
end

-- Reads a partial to which the first offer is made, or makes that one short. Returns whether it did.
local function begin(work, partial, number, leaves)
  if partial.trigger.pair and partial.single == nil then
    read_singles(work, partial)
  end
  local state, single = nil, partial.single
  if single == true then
    single = nil
  elseif not single then
    state = read(partial, 'HGET', 's') or nil
  end
  if not state and shortcut(work, partial, single, number, leaves) then
    partial.state = single
    return true
  end
  if single then
    read_single(partial, single)
  else
    read_state(partial, state)
    work.weight = work.weight + 2 * (state and #state or 0) + partial.bytes
  end
  partial.counted, partial.hash = partial.state ~= nil, state ~= nil
  return false
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

-- An offer: the number of the partial, that of the event, and the leaves; see the header of apply.
local function read_offer(text, place, number)
  local where, which, leaves = string.match(text, '^(%d+) (%d+) (.*)$')
  if where then
    return tonumber(where), tonumber(which), leaves
  end
  return place + 1, number + 1, text
end

-- Makes all offers; where it is only about deadlines, they are those before a time. Returns how many of them one call can make, where it is not all.
local function make_offers(work, before)
  local ARGV, partials, first, place, number = ARGV, work.partials, work.first - 1, 0, 0
  for i = 1, work.offers do
    local leaves, short = ARGV[first + i], false
    if #leaves == 2 then
      place, number = place + 1, number + 1
    else
      place, number, leaves = read_offer(leaves, place, number)
    end
    local partial = partials[place]
    work.current = partial
    if partial.text or partial.freed then
      unfold(work, partial)
    elseif not partial.parts then
      short = begin(work, partial, number, leaves)
    end
    if i > 1 and work.weight > work.most_weight then
      return i - 1
    elseif not short then
      local event = number > 0 and event_of(work, number) or nil
      make_offer(work, partial, event, leaves, event and event.ms or before)
    end
  end
  return nil
end

-- Does all that a batch does with triggers, but for writing it. Returns what refuses the batch, if anything does: what is no partial, or that it is too much.
local function join(work, schedule, before)
  local refused = load_triggers(work, schedule)
  if refused then
    return refused
  end
  local ok, most = pcall(make_offers, work, before)
  if not ok and failure then
    return redis.error_reply(failure)
  elseif not ok then
    return { 'unusable', 'partial', work.current.number }
  end
  return most and { 'heavy', most }
end

-- Plans a command with any number of arguments.
local function plan_many(plan, command, key, args)
  for first = 1, #args, 1000 do
    plan[#plan + 1] = { command, key, unpack(args, first, math.min(first + 999, #args)) }
  end
end

-- Plans a command as it stands, in parts where it is long.
local function plan_whole(plan, command)
  if #command <= 1000 then
    plan[#plan + 1] = command
    return
  end
  for first = 3, #command, 1000 do
    plan[#plan + 1] = { command[1], command[2], unpack(command, first, math.min(first + 999, #command)) }
  end
end

-- Adds to a list the recorded events of a partial that are gone.
local function add_gone(work, partial, gone)
  for _, position in ipairs(partial.removed or {}) do
    if not work.payloads[position] then
      gone[#gone + 1] = position
    end
  end
  if partial.wiped and partial.state then
    local before, seen = { trigger = partial.trigger, key = partial.key }, {}
    read_state(before, partial.state)
    local refs = used_refs(before)
    for at = 3, #refs, REF do
      local position = sub(refs, at, at + POSITION - 1)
      if not seen[position] then
        seen[position], gone[#gone + 1] = true, position
      end
    end
  end
end

-- Plans what is written of a partial that is a string.
local function plan_single(work, partial)
  local state = state_of(partial, {}, {})
  if state ~= partial.state then
    local position = #state > HEADER and sub(state, 69, 92)
    local n = #work.singles
    work.singles[n + 1], work.singles[n + 2] = partial.key, single_text(state, partial.label, position and (work.payloads[position] or partial.recorded) or '')
  end
end

-- Plans what is written of a partial that holds something. Its key is never deleted in between.
local function plan_kept(plan, work, partial)
  if partial.dropped then
    release_dropped(partial)
  end
  if partial.trigger.pair and not partial.hash then
    plan_single(work, partial)
    return
  end
  local added, removed, command, gone = partial.added, partial.removed, { 'HSET', partial.key, 's', '' }, partial.state and {}
  if not partial.state then
    command[5], command[6] = 'k', partial.label
  end
  for i = 1, added and #added or 0 do
    if not (removed and removed[added[i]]) then
      local n = #command
      command[n + 1], command[n + 2] = added[i], work.payloads[added[i]]
    end
  end
  command[4] = state_of(partial, command, gone)
  if command[4] == partial.state then
    return
  end
  plan_whole(plan, command)
  if gone then
    add_gone(work, partial, gone)
    plan_many(plan, 'HDEL', partial.key, gone)
  end
end

-- Plans what is written of a partial.
local function plan_partial(plan, work, partial)
  local trigger, scores = partial.trigger, partial.trigger.scores
  if partial.text or not partial.freed and holds(partial) then
    if partial.text and trigger.pair then
      local n = #work.singles
      work.singles[n + 1], work.singles[n + 2] = partial.key, partial.text
    elseif partial.text then
      local event = event_of(work, partial.event)
      plan[#plan + 1] = { 'HSET', partial.key, 's', partial.text, 'k', partial.label, event.position, work.payloads[event.position] }
    else
      plan_kept(plan, work, partial)
    end
    local n = #scores
    scores[n + 1], scores[n + 2] = partial.next < NEVER and digits(partial.next, TIME) or '+inf', member_of(partial)
    trigger.earliest = math.min(trigger.earliest, partial.next)
  elseif partial.state or partial.settled then
    local n = #trigger.gone + 1
    trigger.freed[n], trigger.gone[n] = partial.key, member_of(partial)
  end
end

-- Plans what is written of all partials and triggers.
local function plan_work(plan, work, schedule)
  local earliest = {}
  for _, partial in ipairs(work.partials) do
    plan_partial(plan, work, partial)
  end
  for first = 1, #work.singles, 1000 do
    plan[#plan + 1] = { 'MSET', unpack(work.singles, first, math.min(first + 999, #work.singles)) }
  end
  for _, trigger in ipairs(work.triggers) do
    plan_many(plan, 'ZADD', trigger.index, trigger.scores)
    plan_many(plan, 'ZREM', trigger.index, trigger.gone)
    for first = 1, #trigger.freed, 1000 do
      plan[#plan + 1] = { 'UNLINK', unpack(trigger.freed, first, math.min(first + 999, #trigger.freed)) }
    end
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
