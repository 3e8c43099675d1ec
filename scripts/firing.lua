-- Makes firings and plans their way into the log. The loader puts this in front of apply, behind condition. A firing is stored in parts that
-- router.DecodeEvent puts together: the Lua only lines opaque strings up, and only once.

local function varint_text(n)
  local text = ''
  while n >= 128 do
    text = text .. string.char(n % 128 + 128)
    n = math.floor(n / 128)
  end
  return text .. string.char(n)
end

local varint_of = {}

-- A length as it stands before a text. They are kept as digits are.
local function length_text(n)
  local known = varint_of[-n]
  if not known then
    known = varint_text(n)
    varint_of[-n] = known
  end
  return known
end

-- Lines up n strings. A string of more than 8 KiB is best made of few.
local function line_up(texts, n)
  if n <= 7 then
    return texts[1] .. (texts[2] or '') .. (texts[3] or '') .. (texts[4] or '') .. (texts[5] or '') .. (texts[6] or '') .. (texts[7] or '')
  elseif n <= 1000 then
    return concat(texts, '', 1, n)
  end
  local whole = {}
  for first = 1, n, 1000 do
    whole[#whole + 1] = concat(texts, '', first, math.min(first + 999, n))
  end
  return concat(whole)
end

-- What refs join: the positions of the events in the order of the refs, those of them that were not offered in this call, and the highest number of hops.
local function survey(work, refs)
  local positions, wanted, seen, hops, n = {}, {}, {}, 0, 0
  for at = 3, #refs, REF do
    local position = sub(refs, at, at + POSITION - 1)
    if not seen[position] then
      seen[position], n = true, n + 1
      positions[n] = position
      local more = sub(refs, at + 24, at + 25)
      if more ~= '00' then
        hops = math.max(hops, tonumber(more))
      end
      if not work.payloads[position] then
        wanted[#wanted + 1] = position
      end
    end
  end
  return positions, wanted, hops
end

-- The bytes of the events that refs join.
local function bytes_of(refs)
  local bytes, seen = 0, {}
  for at = 3, #refs, REF do
    local name = sub(refs, at, at + NAME - 1)
    bytes, seen[name] = bytes + (seen[name] and 0 or tonumber(sub(name, 27, 34))), true
  end
  return bytes
end

-- Reads recorded events, in calls that are not too long.
local function read_events(partial, positions)
  local events = {}
  if #positions == 1 and partial.recorded then
    events[positions[1]] = partial.recorded
    return events
  elseif #positions == 1 then
    events[positions[1]] = read(partial, 'HGET', positions[1]) or error('an event of a partial is missing')
    return events
  end
  for first = 1, #positions, 1000 do
    local last = math.min(first + 999, #positions)
    for i, event in ipairs(read(partial, 'HMGET', unpack(positions, first, last))) do
      events[positions[first + i - 1]] = event or error('an event of a partial is missing')
    end
  end
  return events
end

-- The beginning of a firing, up to the hash of the key.
local function opening_of(trigger, label)
  local known = trigger.openings[#label]
  if not known then
    known = '\2' .. varint_text(#trigger.head + 33 + #varint_text(#label) + #label + TIME + POSITION + 4) .. trigger.head .. '\32'
    trigger.openings[#label] = known
  end
  return known
end

-- What a firing of a partial at a step begins with; the events that refs join follow, each with its length before it.
local function beginning_of(partial, step, refs, hops, form)
  local label = partial.label
  if label == '' and partial.hash then
    label = read(partial, 'HGET', 'k') or '' -- who only settles deadlines does not know it
  end
  return opening_of(partial.trigger, label) .. member_of(partial) .. length_text(#label) .. label .. digits(step.time, TIME) .. step.position ..
    (step.deadline and 'd' or 'p') .. digits(hops, 2) .. form .. length_text(#refs) .. refs
end

-- Adds a firing to those of the batch, in texts that stand side by side; one that was derived too often becomes a dead letter.
local function add_firing(work, partial, texts, hops)
  local looped = hops > 16
  local into, what = looped and work.loops or work.firings, looped and 'loops' or 'firings'
  into[#into + 1] = texts
  partial.trigger.counts[what] = (partial.trigger.counts[what] or 0) + 1
end

-- Fires at a step.
local function fire(work, partial, step, refs)
  local positions, wanted, hops = survey(work, refs)
  local recorded, payloads = read_events(partial, wanted), work.payloads
  local form = partial.trigger.include == 'refs' and 'r' or partial.bytes > work.most_joined and bytes_of(refs) > work.most_joined and 's' or 'e'
  local texts, n = { beginning_of(partial, step, refs, hops + 1, form) }, 1
  for _, position in ipairs(positions) do
    local event = payloads[position] or recorded[position]
    event = form == 'e' and event or head_of(event)
    texts[n + 1], texts[n + 2] = length_text(#event), event
    n = n + 2
  end
  add_firing(work, partial, texts, hops + 1)
end

local function size_of_texts(texts)
  local bytes = 0
  for i = 1, #texts do
    bytes = bytes + #texts[i]
  end
  return bytes
end

-- Puts as many firings as an entry of the log takes, from one on, side by side; returns the texts and how many firings that are. The entry is the first string
-- that is made of them, since that costs more than all else.
local function texts_of_entry(firings, first)
  local texts, n, count, bytes = { '' }, 1, 0, 0
  while firings[first + count] and count < 64 do
    local firing = firings[first + count]
    local size = size_of_texts(firing)
    if count > 0 and bytes + size > 8000 then
      break
    end
    texts[n + 1] = length_text(size)
    for i = 1, #firing do
      texts[n + 1 + i] = firing[i]
    end
    n, count, bytes = n + 1 + #firing, count + 1, bytes + size
  end
  texts[1] = '\2' .. varint_text(count)
  return texts, count
end

-- Up to so many bytes of firings are returned, so that those who follow the log need not read them.
local most_told = 16384

-- Plans entries of the log for firings: few of them together, as redisstore/group.go has it. Known are the fields of the state that change with that.
-- Returns what is told of the firings: the ID of each entry, and the entry.
local function plan_log(plan, log, state, firings, known)
  local told, bytes = {}, 0
  local first, ms, seq, size, stored = 1, math.max(now(), known.floor, known.settled), known.seq, known.size, known.stored
  if ms > known.floor then
    seq = -1
  end
  while first <= #firings do
    local texts, n = texts_of_entry(firings, first)
    local entry = line_up(texts, #texts)
    seq, first = seq + n, first + n
    local id = int(ms) .. '-' .. int(seq)
    plan[#plan + 1] = { 'XADD', log, id, 'n', int(stored), 'e', entry }
    bytes = bytes + #entry
    if bytes <= most_told then
      told[#told + 1] = id
      told[#told + 1] = entry
    end
    size, stored = size > 0 and size + (#entry - size) / 64 or #entry, stored + n
  end
  if first > 1 then
    plan[#plan + 1] = { 'HSET', state, 'floor', int(ms), 'seq', int(seq), 'size', format('%.3f', size), 'stored', int(stored) }
  end
  return bytes <= most_told and told or {}
end

-- Plans dead letters for firings that were derived too often. Each has a position of its own, at which the log has nothing: far behind all that the log
-- can give out in a millisecond.
local function plan_loops(plan, keys, state, loops, record, known)
  local t = int(now())
  for i, firing in ipairs(loops) do
    local id = t .. '-' .. int(2 ^ 52 + known + i)
    plan[#plan + 1] = { 'HSET', keys.copies, id, line_up(firing, #firing), '#' .. id, '1' }
    plan[#plan + 1] = { 'HSET', keys.holds, id .. ' dead ' .. id .. ' log', '' }
    plan[#plan + 1] = { 'HSET', keys.dead, id .. ' log', record }
    plan[#plan + 1] = { 'ZADD', keys.dead_at, t, id .. ' log' }
  end
  if #loops > 0 then
    plan[#plan + 1] = { 'HINCRBY', state, 'loops', #loops }
  end
end
