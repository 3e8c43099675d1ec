-- Evaluates the conditions of triggers. The loader puts this in front of apply, behind partial. What it does is what router.Model does, which is the
-- specification; what is said here is how.
--
-- A trigger's tree comes as text (router.CompiledTrigger.Program) and is a list of nodes, each before its children, so that going through it from the
-- end meets children before parents. A step is an event that some leaves of a partial meet, or a deadline: it has a time, a position, and the event's
-- name. Each occurrence is passed on to the parent's slots, to a firing, or dropped.

local function read_node(line)
  local kind, parent, child, within, need, size, distinct, lookback, leaf = string.match(line, '^(%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d) (%d+) (%S+)$')
  return {
    kind = kind, parent = tonumber(parent), child = tonumber(child), within = tonumber(within), window = tonumber(kind == 'absent' and lookback or within),
    need = tonumber(need), count = tonumber(size), distinct = distinct == '1', leaf = leaf, place = digits(tonumber(child), 2), children = 0, size = 0, width = TIME + NAME + 33 * tonumber(distinct),
  }
end

-- Whether all that can be recorded is one event: a tree wants two single ones.
local function is_pair(nodes)
  local pair = #nodes == 3 and nodes[1].kind == 'all' and nodes[1].need == 2
  for number = 2, pair and 3 or 0 do
    pair = pair and nodes[number].kind == 'event' and nodes[number].count == 1
  end
  return pair
end

local programs = {}

-- Reads a trigger's tree, once for all triggers of a call that are alike. It is not changed.
local function read_program(text)
  if programs[text] then
    return programs[text]
  end
  local clock, cooldown, rest = string.match(text, '^(%a+) (%d+)(.*)$')
  local nodes, leaves, sequence = {}, {}, false
  for line in string.gmatch(rest, ';([^;]+)') do
    local node = read_node(line)
    nodes[#nodes + 1] = node
    leaves[node.leaf] = #nodes
    local parent = nodes[node.parent]
    if parent then
      parent.children = node.child
      parent.size = parent.kind == 'absent' and 2 or parent.kind ~= 'any' and node.child or 0
    end
    sequence = sequence or node.kind == 'sequence'
  end
  programs[text] = { ages = clock == 'accept', cooldown = tonumber(cooldown), nodes = nodes, leaves = leaves, sequence = sequence, pair = is_pair(nodes) }
  return programs[text]
end

-- Takes an event that has the same value out of a list.
local function replace(partial, list, node, value)
  local found = string.find(list, '=' .. value, 1, true)
  if not found then
    return list
  end
  drop(partial, node.leaf .. sub(list, found - NAME, found - 1))
  return sub(list, 1, found - NAME - TIME - 1) .. sub(list, found + 33)
end

-- Puts an event into a list, in the order of time and then of the log.
local function insert(list, node, step, value)
  local width, at = node.width, #list
  while at > 0 and tonumber(sub(list, at - width + 1, at - width + TIME)) > step.time do
    at = at - width
  end
  return sub(list, 1, at) .. digits(step.time, TIME) .. step.name .. (value and '=' .. value or '') .. sub(list, at + 1)
end

-- Takes off what is older than the newest by more than the window.
local function expire(partial, list, node)
  local width, first = node.width, 1
  local oldest = tonumber(sub(list, #list - width + 1, #list - width + TIME)) - node.within
  while tonumber(sub(list, first, first + TIME - 1)) < oldest do
    first = first + width
  end
  if first == 1 then
    return list
  end
  drop(partial, refs_of(list, node, 1, first - 1))
  return sub(list, first)
end

-- A list is in the order of time; what is joined is in that of the log.
local function in_log_order(partial, refs)
  if partial.trigger.ages then
    return refs
  end
  local list = {}
  for at = 1, #refs, REF do
    list[#list + 1] = sub(refs, at, at + REF - 1)
  end
  table.sort(list)
  return concat(list)
end

-- The occurrence of a leaf that the step's event meets, or nil: more events are wanted.
local function meet(partial, number, step, value)
  local node = partial.trigger.nodes[number]
  if node.count == 1 then
    return { time = step.time, position = step.position, refs = node.leaf .. step.name }
  end
  local list = part_of(partial, number) or ''
  if value then
    list = replace(partial, list, node, value)
  end
  list = expire(partial, insert(list, node, step, value), node)
  if #list < node.count * node.width then
    partial.parts[number] = list
    return nil
  end
  partial.parts[number] = nil
  return { time = step.time, position = step.position, refs = in_log_order(partial, refs_of(list, node, 1, #list)) }
end

-- How a node takes the occurrences that its children have at a step. Each returns the node's own occurrence, or nil.
local offers = {}

function offers.any(partial, _, node, met)
  local first
  for i = 1, node.children do
    if met[i] and first then
      drop(partial, met[i].refs)
    end
    first = first or met[i]
  end
  return first
end

-- all is an at_least that needs every child.
function offers.all(partial, number, node, met, step)
  local slots, children, within = part_of(partial, number) or {}, node.children, node.within
  local newest, left, refs = -NEVER, 0, ''
  for i = 1, children do
    if met[i] then
      set_slot(partial, slots, i, met[i])
    end
    if slots[i] and slots[i].time > newest then
      newest = slots[i].time
    end
  end
  for i = 1, children do
    local slot = slots[i]
    if slot and within > 0 and newest - slot.time > within then
      set_slot(partial, slots, i, nil)
    elseif slot then
      left = left + 1
    end
  end
  if left < node.need then
    keep(partial, number, slots)
    return nil
  end
  for i = 1, children do
    refs = slots[i] and refs .. slots[i].refs or refs
  end
  partial.parts[number] = nil
  return { time = step.time, position = step.position, refs = refs }
end

-- The last step first, so that an event extends each chain by one step only.
function offers.sequence(partial, number, node, met, step)
  local chains, children, within = part_of(partial, number) or {}, node.children, node.within
  local whole
  for i = children, 1, -1 do
    local occurrence, before = met[i], chains[i - 1]
    local fits = i == 1 or before and (within == 0 or step.time - before.time <= within)
    if occurrence and fits and not whole then
      local start, refs = before or occurrence, (before and before.refs or '') .. occurrence.refs
      if i == children then
        whole = { time = step.time, position = step.position, refs = refs }
      else
        set_slot(partial, chains, i, { time = start.time, position = start.position, refs = refs })
      end
    elseif occurrence then
      drop(partial, occurrence.refs)
    end
  end
  for i = 1, whole and children or 0 do
    set_slot(partial, chains, i, nil)
  end
  keep(partial, number, chains)
  return whole
end

-- The first child is the event that must not come, the second, if there is one, what arms it.
function offers.absent(partial, number, node, met, step)
  local slots, event, arming = part_of(partial, number) or {}, met[1], met[2]
  local fired
  if event and node.children == 1 then
    set_slot(partial, slots, ARMED, { time = step.time + node.within, position = step.position, refs = event.refs })
  elseif event then
    set_slot(partial, slots, ARMED, nil)
    drop(partial, event.refs)
    slots[SEEN] = node.window > 0 and { time = event.time, position = event.position, refs = '' } or nil
  end
  local seen, armed = slots[SEEN], slots[ARMED]
  if arming and armed then
    drop(partial, arming.refs)
  elseif arming and seen and seen.position < step.position and step.time - seen.time <= node.window then
    slots[SEEN] = nil
    drop(partial, arming.refs)
  elseif arming then
    slots[ARMED] = { time = step.time + node.within, position = step.position, refs = arming.refs }
  end
  armed = slots[ARMED]
  if step.deadline and armed and armed.time == step.time then
    slots[ARMED] = nil
    fired = { time = step.time, position = step.position, refs = armed.refs }
  end
  keep(partial, number, slots)
  return fired
end

-- Adds a child's occurrence to those that its parent is offered.
local function offer_up(met, node, occurrence)
  local above = met[node.parent]
  if above then
    above[node.child] = occurrence
  else
    met[node.parent] = { [node.child] = occurrence }
  end
end

-- Offers a step to the inner nodes of a tree; met has the occurrences of leaves, by the numbers of their parents. Returns the root's, or nil.
local function evaluate(partial, step, met)
  local nodes = partial.trigger.nodes
  for number = #nodes, 1, -1 do
    local node = nodes[number]
    if met[number] or step.deadline and node.kind == 'absent' then
      local occurrence = offers[node.kind](partial, number, node, met[number] or {}, step)
      if occurrence then
        offer_up(met, node, occurrence)
      end
    end
  end
  return met[0] and met[0][1]
end
