-- Partials: what triggers have recorded and not fired. The loader puts this in front of apply, behind common.
--
-- A partial is a hash, or, of a trigger that wants a pair, a string (see below). The hash holds each recorded event once, encoded, under its
-- position, so that payloads are read only for a firing and never written again; "k", its key as firings carry it; "s", its state; and under
-- "n" and the number of a node what is recorded there, where that is too much to be read and written with everything else. Everything has a
-- fixed width or its length before it, since making a string costs Lua about 2 ns for each byte:
--
--   position  24  milliseconds (14 digits), number (10)
--   time      15  milliseconds
--   name      36  of an event: position, hops (2), bytes (8), how many leaves of the trigger it met (2)
--   ref       38  an event at a leaf: number of the leaf (2), name
--   record        an event that a leaf counts: time, name, for distinct ones "=" and 32 characters that stand for the value; in order of time
--   slot          number (2), time, position, length of the refs (7), refs
--   state         "1", bytes of all recorded events (10), time of the last firing or blanks (15), when something happens by itself (15, see
--                 next_of), then for each node that holds anything: its number (3), length of what follows (7), records of a leaf or slots of another
--                 node; or, where these have a field of their own, "@", what times_of says of them (15, 15)
--
-- What waits for the other one of two single events, as most partials do, is one event and takes less time and room as a string; a hash of an older version stays
-- one until it is gone:
--
--   single        "2", length of the state (3), state, length of the key (7), key, the event if there is one
--
-- A slot of an all or at_least is a child's occurrence. One of a sequence is the chain of so many steps, with time and position of the first. An
-- absent has two: the event that came last (no refs: it is never joined), and what armed it, with the deadline as its time.
--
-- Here, a partial is a table: parts has by the number of a node the list of a leaf, a string, or the slots of another node, a table of occurrences;
-- an occurrence has a time, a position and refs. What has a field of its own is read when it is asked for.
local POSITION, TIME, NAME, REF, SLOT, HEADER, INLINE = 24, 15, 36, 38, 48, 41, 600
local SEEN, ARMED = 1, 2
local NEVER = 999999999999999
local sub, format, concat = string.sub, string.format, table.concat

-- The hash of the key, by which the trigger lists the partial: the end of its own key.
local function member_of(partial)
  return sub(partial.key, -32)
end

local digits_of = {}

-- A number in so many digits. The same few come up again and again in a call. (They are kept by their negatives, which no server takes for places in an array, and
-- makes room for all before them.)
local function digits(n, width)
  local known = digits_of[width]
  if not known then
    known = {}
    digits_of[width] = known
  end
  local text = known[-n]
  if not text then
    text = format('%0' .. width .. '.0f', n)
    known[-n] = text
  end
  return text
end

local failure -- of the server, while a partial was read

-- Calls a command on a partial. What is wrong with the server is wrong with the call; the wrong type is wrong with the partial.
local function read(partial, command, ...)
  local reply = redis.pcall(command, partial.key, ...)
  if type(reply) == 'table' and reply.err then
    failure = sub(reply.err, 1, 9) ~= 'WRONGTYPE' and reply.err or nil
    error(reply.err)
  end
  return reply
end

-- The string that a partial is which holds no more than one event.
local function single_text(state, label, event)
  return '2' .. digits(#state, 3) .. state .. digits(#label, 7) .. label .. event
end

local SINGLES = 32 -- a call reads so many, since their events are read with them

-- Reads a partial of a pair, and those around it: their strings, true where there is no such key, false where it is a hash, if it is a partial at all.
local function read_singles(work, partial)
  local first = partial.number - (partial.number - 1) % SINGLES
  local last = math.min(first + SINGLES - 1, #work.partials)
  local from, to, found, head = work.keys + first + 1, work.keys + last, 0, work.partials[first]
  local singles = read(head, 'MGET', unpack(KEYS, from, to))
  for i = 1, last - first + 1 do
    if singles[i] then
      found, work.weight = found + 1, work.weight + #singles[i]
    end
  end
  local absent = found > last - first or read(head, 'EXISTS', unpack(KEYS, from, to)) == found
  for i = 1, last - first + 1 do
    local other = work.partials[first + i - 1]
    other.single = other.trigger.pair and (singles[i] or absent)
  end
end

-- When an event was accepted, from its name: in milliseconds, and as text. Many are of the same millisecond.
local function time_of(work, name)
  local stamp = sub(name, 1, 14)
  local time = work.times[stamp]
  if not time then
    time = { tonumber(stamp), '0' .. stamp }
    work.times[stamp] = time
  end
  return time[1], time[2]
end

-- The name of an event without what was added to it.
local function base_of(name)
  return #name > NAME - 2 and sub(name, 1, NAME - 2) or name
end

-- An event that is offered, by its number. Most are not taken apart.
local function event_of(work, number)
  local event = work.events[number]
  if not event then
    local at = work.named + 2 * number
    local name, bytes = ARGV[at], ARGV[at + 1]
    event = {
      base = base_of(name), own = tonumber(sub(name, NAME - 1)), position = sub(name, 1, POSITION), ms = time_of(work, name), time = nil, name = nil, bytes = #bytes,
    }
    work.events[number], work.payloads[event.position] = event, bytes
  end
  return event
end

local function read_slots(text)
  local slots, at = {}, 1
  while at <= #text do
    local refs = at + SLOT
    local behind = refs + tonumber(sub(text, at + 41, at + 47))
    slots[tonumber(sub(text, at, at + 1))] = {
      time = tonumber(sub(text, at + 2, at + 16)), position = sub(text, at + 17, at + 40), refs = sub(text, refs, behind - 1),
    }
    at = behind
  end
  return slots
end

-- Fills a partial with its state, nil where there is none. Raises an error where it is not a state.
local function read_state(partial, state)
  partial.state, partial.parts, partial.own, partial.bytes, partial.last, partial.next = state, {}, nil, 0, nil, NEVER
  if not state then
    return
  end
  if sub(state, 1, 1) ~= '1' then
    error('not the state of a partial')
  end
  local trigger, at = partial.trigger, HEADER + 1
  partial.bytes, partial.next = tonumber(sub(state, 2, 11)), tonumber(sub(state, 27, 41))
  partial.last = trigger.cooldown > 0 and tonumber(sub(state, 12, 26)) or nil
  while at <= #state do
    local number, first = tonumber(sub(state, at, at + 2)), at + 10
    local behind = first + tonumber(sub(state, at + 3, at + 9))
    local text = sub(state, first, behind - 1)
    if sub(text, 1, 1) == '@' then
      partial.parts[number] = { due = tonumber(sub(text, 2, 16)), useful = tonumber(sub(text, 17)), away = true }
      partial.own = partial.own or {}
      partial.own[number] = true
    else
      partial.parts[number] = trigger.nodes[number].size > 0 and read_slots(text) or text
    end
    at = behind
  end
end

-- Fills a partial with a string. Raises an error where it is not that of a partial.
local function read_single(partial, single)
  local size = sub(single, 1, 1) == '2' and tonumber(sub(single, 2, 4)) or error('not the string of a partial')
  local label = 12 + size
  local event = label + tonumber(sub(single, 5 + size, 11 + size))
  partial.label, partial.recorded = sub(single, label, event - 1), sub(single, event)
  read_state(partial, sub(single, 5, 4 + size))
  if #partial.recorded ~= partial.bytes then
    error('an event of a partial is missing')
  end
end

-- What is recorded at a node, or nil.
local function part_of(partial, number)
  local part = partial.parts[number]
  if type(part) == 'table' and part.away then
    local text = read(partial, 'HGET', 'n' .. number) or error('a part of a partial is missing')
    part = partial.trigger.nodes[number].size > 0 and read_slots(text) or text
    partial.parts[number], partial.own[number] = part, text
  end
  return part
end

-- Records slots at a node.
local function keep(partial, number, slots)
  partial.parts[number] = next(slots) and slots or nil
end

-- The deadline of what is recorded at a node, NEVER where there is none, and the last millisecond at which anything of it can be of use, -1 where only
-- the deadline matters.
local function times_of(trigger, node, part)
  if type(part) == 'string' then
    return NEVER, trigger.ages and tonumber(sub(part, -node.width, TIME - node.width - 1)) + node.window or NEVER
  elseif part.away then
    return part.due, part.useful
  end
  local due, useful = NEVER, -1
  for i = 1, node.size do
    local slot = part[i]
    if slot and i == ARMED and node.kind == 'absent' then
      due = slot.time
    elseif slot then
      local last = trigger.ages and node.window > 0 and slot.time + node.window or NEVER
      useful = last > useful and last or useful
    end
  end
  return due, useful
end

-- When something happens to a partial by itself: its earliest deadline, or where there is none the last millisecond at which anything that is recorded
-- can be of use; nil where nothing is recorded. The second result says that it is a deadline.
local function next_of(partial)
  local trigger, parts = partial.trigger, partial.parts
  local due, useful = NEVER, -1
  for number, node in ipairs(trigger.nodes) do
    local part = parts[number]
    if part then
      local part_due, part_useful = times_of(trigger, node, part)
      due = part_due < due and part_due or due
      useful = part_useful > useful and part_useful or useful
    end
  end
  if partial.last then
    useful = math.max(useful, trigger.ages and partial.last + trigger.cooldown - 1 or NEVER)
  end
  if due < NEVER then
    return due, true
  end
  return useful >= 0 and useful or nil, false
end

local BLANKS, NONE = string.rep(' ', TIME), {}
local texts = {} -- used again and again

-- Puts what is recorded at a node into texts, behind the first n; returns how many there are then, and its length.
local function add_part(n, node, part)
  if type(part) == 'string' then
    texts[n + 1] = part
    return n + 1, #part
  end
  local length = 0
  for i = 1, node.size do
    local slot = part[i]
    if slot then
      local refs = slot.refs
      texts[n + 1], texts[n + 2], texts[n + 3], texts[n + 4], texts[n + 5] = digits(i, 2), digits(slot.time, TIME), slot.position, digits(#refs, 7), refs
      n, length = n + 5, length + SLOT + #refs
    end
  end
  return n, length
end

-- Puts in what stands for a part that has a field of its own.
local function add_times(n, trigger, node, part)
  local due, useful = times_of(trigger, node, part)
  texts[n + 1], texts[n + 2], texts[n + 3] = '@', digits(due, TIME), digits(useful, TIME)
  return n + 3, 1 + 2 * TIME
end

-- The state of a partial that holds something. Fields of its parts that have to be written are added to fields, names of those that have to go to lost.
local function state_of(partial, fields, lost)
  local trigger, parts, own, n = partial.trigger, partial.parts, partial.own or NONE, 4
  partial.next = next_of(partial)
  texts[1], texts[2], texts[3], texts[4] = '1', digits(partial.bytes, 10), partial.last and digits(partial.last, TIME) or BLANKS, digits(partial.next, TIME)
  for number, node in ipairs(trigger.nodes) do
    local part, length = parts[number], 0
    if part then
      local first = n + 2
      if type(part) == 'table' and part.away then
        n, length = add_times(first, trigger, node, part)
      else
        n, length = add_part(first, node, part)
      end
      if length > INLINE then
        local text = concat(texts, '', first + 1, n)
        if own[number] ~= text then
          fields[#fields + 1], fields[#fields + 2] = 'n' .. number, text
        end
        n = add_times(first, trigger, node, part)
      end
      texts[first - 1], texts[first] = digits(number, 3), digits(length > INLINE and 1 + 2 * TIME or length, 7)
      length = type(part) == 'table' and part.away and INLINE + 1 or length
    end
    if own[number] and length <= INLINE then
      lost[#lost + 1] = 'n' .. number
    end
  end
  return concat(texts, '', 1, n)
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
  partial.added, partial.removed, partial.dropped = nil, nil, nil
end

-- The refs of the records from one place of a list to another.
local function refs_of(list, node, first, last)
  local refs, n = {}, 0
  for at = first + TIME, last, node.width do
    n = n + 1
    refs[n] = node.leaf .. sub(list, at, at + NAME - 1)
  end
  return concat(refs)
end

-- All refs that are in use.
local function used_refs(partial)
  local refs = {}
  for number, node in ipairs(partial.trigger.nodes) do
    local part = part_of(partial, number)
    if type(part) == 'string' then
      refs[#refs + 1] = refs_of(part, node, 1, #part)
    end
    for i = 1, part and node.size or 0 do
      refs[#refs + 1] = part[i] and part[i].refs
    end
  end
  return concat(refs)
end
