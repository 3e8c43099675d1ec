-- Partials: what triggers have recorded and not fired. The loader puts this in front of apply, behind common.
--
-- A partial is a hash. It holds each recorded event once, encoded, under its position, so that payloads are read only for a firing and never
-- written again; "k", its key as firings carry it; and "s", its state. In the state everything has a fixed width or its length before it, so that
-- reading and writing it costs little however many events are counted:
--
--   position  24  milliseconds (14 digits), number (10)
--   time      15  milliseconds
--   name      36  of an event: position, hops (2), bytes (8), how many leaves of the trigger it met (2)
--   ref       38  an event at a leaf: number of the leaf (2), name
--   record        an event that a leaf counts: time, name, for distinct ones "=" and 32 characters that stand for the value; in order of time
--   slot          number (2), time, position, length of the refs (7), refs
--   state         "1", bytes of all recorded events (10), time of the last firing or blanks (15), when something happens by itself (15, see
--                 next_of), then for each node that holds anything: its number (3), length of what follows (7), records of a leaf or slots of
--                 another node
--
-- A slot of an all or at_least is a child's occurrence. One of a sequence is the chain of so many steps, with time and position of the first. An
-- absent has two: the event that came last (no refs: it is never joined), and what armed it, with the deadline as its time.
--
-- Here, a partial is a table: parts has by the number of a node the list of a leaf, a string, or the slots of another node, a table of occurrences;
-- an occurrence has a time, a position and refs.
local POSITION, TIME, NAME, REF, SLOT, HEADER = 24, 15, 36, 38, 48, 41
local SEEN, ARMED = 1, 2
local NEVER = 999999999999999
local sub, format = string.sub, string.format

local digits_of = {}

-- A small number in so many digits. Few different ones come up in a call.
local function digits(n, width)
  local known = digits_of[width]
  if not known then
    known = {}
    digits_of[width] = known
  end
  local text = known[n]
  if not text then
    text = format('%0' .. width .. 'd', n)
    known[n] = text
  end
  return text
end

local function time_text(t)
  return format('%015d', t)
end

local function read_slots(state, at, last)
  local slots = {}
  while at <= last do
    local refs = at + SLOT
    local next_slot = refs + tonumber(sub(state, at + 41, at + 47))
    slots[tonumber(sub(state, at, at + 1))] = {
      time = tonumber(sub(state, at + 2, at + 16)), position = sub(state, at + 17, at + 40), refs = sub(state, refs, next_slot - 1),
    }
    at = next_slot
  end
  return slots
end

-- Fills a partial with its state, false where there is none. Raises an error where it is not a state.
local function read_state(partial, state)
  local parts = {}
  partial.state, partial.parts, partial.bytes, partial.last, partial.next = state, parts, 0, false, NEVER
  if not state then
    return
  end
  if sub(state, 1, 1) ~= '1' then
    error('not the state of a partial')
  end
  local trigger, at = partial.trigger, HEADER + 1
  local nodes = trigger.nodes
  partial.bytes, partial.next = tonumber(sub(state, 2, 11)), tonumber(sub(state, 27, 41))
  if trigger.cooldown > 0 then
    partial.last = tonumber(sub(state, 12, 26)) or false
  end
  while at <= #state do
    local number, first = tonumber(sub(state, at, at + 2)), at + 10
    at = first + tonumber(sub(state, at + 3, at + 9))
    if nodes[number].size > 0 then
      parts[number] = read_slots(state, first, at - 1)
    else
      parts[number] = sub(state, first, at - 1)
    end
  end
end

local function slots_text(slots, size)
  local text = ''
  for i = 1, size do
    local slot = slots[i]
    if slot then
      local refs = slot.refs
      text = text .. digits(i, 2) .. time_text(slot.time) .. slot.position .. digits(#refs, 7) .. refs
    end
  end
  return text
end

-- When something happens to a partial by itself: its earliest deadline, or where there is none the last millisecond at which anything that is recorded
-- can be of use; nil where nothing is recorded. The second result says that it is a deadline.
local function next_of(partial)
  local trigger, parts = partial.trigger, partial.parts
  local due, useful = nil, -1
  for number, node in ipairs(trigger.nodes) do
    local part = parts[number]
    if part and node.size == 0 then
      useful = math.max(useful, trigger.ages and tonumber(sub(part, -node.width, TIME - node.width - 1)) + node.within or NEVER)
    elseif part then
      for i = 1, node.size do
        local slot = part[i]
        if slot and node.kind == 'absent' and i == ARMED then
          due = math.min(due or NEVER, slot.time)
        elseif slot then
          useful = math.max(useful, trigger.ages and node.window > 0 and slot.time + node.window or NEVER)
        end
      end
    end
  end
  if partial.last then
    useful = math.max(useful, trigger.ages and partial.last + trigger.cooldown - 1 or NEVER)
  end
  return due or useful >= 0 and useful or nil, due ~= nil
end

-- The state of a partial, or nil where it holds nothing.
local function state_of(partial)
  local parts, text = partial.parts, ''
  if next(parts) then
    for number, node in ipairs(partial.trigger.nodes) do
      local part = parts[number]
      if part and node.size > 0 then
        part = slots_text(part, node.size)
      end
      if part and part ~= '' then
        text = text .. digits(number, 3) .. digits(#part, 7) .. part
      end
    end
  end
  if text == '' and not partial.last then
    return nil
  end
  partial.next = next_of(partial)
  return '1' .. digits(partial.bytes, 10) .. (partial.last and time_text(partial.last) or '               ') .. time_text(partial.next) .. text
end

-- Notes refs that are not used any more in one place.
local function drop(partial, refs)
  local dropped = partial.dropped
  if dropped then
    dropped[#dropped + 1] = refs
  else
    partial.dropped = { refs }
  end
end

local function set_slot(partial, slots, i, occurrence)
  if slots[i] then
    drop(partial, slots[i].refs)
  end
  slots[i] = occurrence
end

-- Forgets all but the last firing.
local function clear(partial)
  partial.wiped, partial.parts, partial.bytes = true, {}, 0
  partial.added, partial.removed, partial.dropped = false, false, false
end

-- The refs of the records from one place of a list to another.
local function refs_of(list, node, first, last)
  local refs = {}
  for at = first + TIME, last, node.width do
    refs[#refs + 1] = node.leaf .. sub(list, at, at + NAME - 1)
  end
  return table.concat(refs)
end

-- All refs that are in use.
local function used_refs(partial)
  local refs = {}
  for number, node in ipairs(partial.trigger.nodes) do
    local part = partial.parts[number]
    if part and node.size == 0 then
      refs[#refs + 1] = refs_of(part, node, 1, #part)
    end
    for i = 1, part and node.size or 0 do
      refs[#refs + 1] = part[i] and part[i].refs
    end
  end
  return table.concat(refs)
end
