-- The two things that most offers come to, done without taking a partial apart: the first event of a partial is recorded, and the second of two events makes
-- it fire. The loader puts this in front of apply, behind firing. It makes no difference but to the time that it takes.
--
-- A state that holds one event in a slot of the root:
--
--   1 "1"  2 bytes  12 last firing  27 next  42 node  45 length  52 slot  54 time  69 position  93 length  100 ref

-- Whether a trigger's tree is one for shortcuts: its root wants several of single events, and nothing that was recorded before the state matters.
local function is_plain(program)
  local plain = program.plain
  if plain == nil then
    local root = program.nodes[1]
    plain = root.kind == 'all' and root.need > 1 and program.ages and program.cooldown == 0
    for number = 2, #program.nodes do
      local node = program.nodes[number]
      plain = plain and node.kind == 'event' and node.count == 1
    end
    program.plain = plain
  end
  return plain
end

-- Records an event in a new partial; its text is its state then.
local function record_first(partial, event, leaf)
  local trigger = partial.trigger
  local within = trigger.nodes[1].within
  partial.next = within > 0 and event.ms + within or NEVER
  partial.text = '1' .. digits(event.bytes, 10) .. BLANKS .. digits(partial.next, TIME) .. '0010000086' .. trigger.nodes[trigger.leaves[leaf]].place ..
    event.accepted .. event.position .. '0000038' .. leaf .. event.base .. '01'
  partial.event = event
end

-- Fires with an event where the partial has the other one that the trigger wants, and nothing else. Returns whether it did.
local function complete_pair(work, partial, state, event, leaf)
  local trigger = partial.trigger
  local second = trigger.nodes[trigger.leaves[leaf]].place == '02'
  if #state ~= 137 or #trigger.nodes ~= 3 or sub(state, 42, 53) ~= (second and '001000008601' or '001000008602') or tonumber(sub(state, 27, 41)) < event.ms then
    return false
  end
  if trigger.include == 'refs' or tonumber(sub(state, 2, 11)) + event.bytes > work.most_joined then
    return false
  end
  local ref, mine, position = sub(state, 100), leaf .. event.base .. '01', sub(state, 69, 92)
  local hops = math.max(tonumber(sub(ref, 27, 28)), event.hops) + 1
  local refs = second and ref .. mine or mine .. ref
  local before, now = read(partial, 'HGET', position) or error('an event of a partial is missing'), work.payloads[event.position]
  local first, last = second and before or now, second and now or before
  add_firing(work, partial, { beginning_of(partial, event, refs, hops, 'e') .. length_text(#first), first, length_text(#last), last }, hops)
  partial.freed = true
  return true
end

-- Makes an offer short, if it is one of the two. Returns whether it was.
local function shortcut(work, partial, state, event, leaf)
  if not event or #leaf ~= 2 or not partial.trigger.plain or partial.trigger.tight or event.bytes > work.most_bytes then
    return false
  end
  event.time, event.stamp = event.ms, event.accepted -- another trigger may go by another clock
  if state then
    return complete_pair(work, partial, state, event, leaf)
  end
  record_first(partial, event, leaf)
  return true
end

-- Takes a partial apart after all, to which an offer was made short.
local function unfold(partial)
  if partial.text then
    read_state(partial, partial.text)
    partial.added, partial.state, partial.text = { partial.event.position }, nil, nil
  else
    local state = partial.state
    read_state(partial, nil)
    partial.state, partial.wiped, partial.freed = state, true, nil
  end
end
