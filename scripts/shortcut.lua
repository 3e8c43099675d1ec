-- The two things that most offers come to, done without taking a partial apart: the first event of a partial is recorded, and the second of two events makes
-- it fire. The loader puts this in front of apply, behind firing. It makes no difference but to the time that it takes.
--
-- A state that holds one event in a slot of the root:
--
--   1 "1"  2 bytes  12 last firing  27 next  42 node  45 length  52 slot  54 time  69 position  93 length  100 ref
--
-- In a string it begins at the fifth character.

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

-- Records an event in a new partial; its text is its state then, or all of it where it is a string.
local function record_first(work, partial, name, event, leaf)
  local trigger, label, ms, accepted = partial.trigger, partial.label, time_of(work, name)
  local within = trigger.nodes[1].within
  partial.next = within > 0 and ms + within or NEVER
  if trigger.pair then -- a string is made once, since that costs most
    partial.text = '2137100' .. sub(name, 27, 34) .. BLANKS .. digits(partial.next, TIME) .. '0010000086' .. trigger.nodes[trigger.leaves[leaf]].place .. accepted ..
      sub(name, 1, POSITION) .. '0000038' .. leaf .. base_of(name) .. '01' .. digits(#label, 7) .. label .. event
  else
    partial.text = '100' .. sub(name, 27, 34) .. BLANKS .. digits(partial.next, TIME) .. '0010000086' .. trigger.nodes[trigger.leaves[leaf]].place .. accepted ..
      sub(name, 1, POSITION) .. '0000038' .. leaf .. base_of(name) .. '01'
  end
end

-- Fires with an event where the partial has the other one that the trigger wants, and nothing else. Returns whether it did.
local function complete_pair(work, partial, single, name, event, leaf)
  local trigger, ms, accepted = partial.trigger, time_of(work, name)
  local second = trigger.nodes[trigger.leaves[leaf]].place == '02'
  if sub(single, 1, 4) ~= '2137' or sub(single, 46, 57) ~= (second and '001000008601' or '001000008602') or tonumber(sub(single, 31, 45)) < ms then
    return false
  end
  local bytes, before = tonumber(sub(single, 6, 15)), sub(single, 149 + tonumber(sub(single, 142, 148)))
  if trigger.include == 'refs' or bytes + #event > work.most_joined then
    return false
  elseif #before ~= bytes then
    error('an event of a partial is missing')
  end
  local other, base, label, position = sub(single, 104, 141), base_of(name), partial.label, sub(name, 1, POSITION)
  local hops = math.max(tonumber(sub(other, 27, 28)), tonumber(sub(name, 25, 26))) + 1
  local length, kind = length_text(#label), 'p' .. digits(hops, 2) .. 'e' .. length_text(2 * REF)
  local opening, member = opening_of(trigger, label), member_of(partial)
  local texts
  if second then -- in one expression each, so that no string is made that is only a part of another
    texts = { opening, member .. length .. label .. accepted .. position .. kind .. other .. leaf .. base .. '01' .. length_text(#before), before, length_text(#event), event }
  else
    texts = { opening, member .. length .. label .. accepted .. position .. kind .. leaf .. base .. '01' .. other .. length_text(#event), event, length_text(#before), before }
  end
  add_firing(work, partial, texts, hops)
  partial.freed = true
  return true
end

-- Makes an offer of an event short, if it is one of the two: to a partial that is a string, or to one that is new. Returns whether it was.
local function shortcut(work, partial, single, number, leaf)
  local at = work.named + 2 * number
  local name, event = ARGV[at], ARGV[at + 1]
  if number == 0 or #leaf ~= 2 or not partial.trigger.plain or partial.trigger.tight or #event > work.most_bytes then
    return false
  elseif single then
    return complete_pair(work, partial, single, name, event, leaf)
  end
  record_first(work, partial, name, event, leaf)
  partial.event = number
  return true
end

-- Takes a partial apart after all, to which an offer was made short.
local function unfold(work, partial)
  if partial.text then
    local fill = partial.trigger.pair and read_single or read_state
    fill(partial, partial.text)
    partial.added, partial.state, partial.text = { event_of(work, partial.event).position }, nil, nil
  else
    local state = partial.state
    read_state(partial, nil)
    partial.state, partial.wiped, partial.freed = state, true, nil
  end
end
