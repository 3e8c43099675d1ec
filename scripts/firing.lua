-- Makes firings and plans their way into the log. The loader puts this in front of apply, behind condition. A firing is stored in parts that
-- router.DecodeEvent puts together: the Lua only lines opaque strings up.

local function varint_text(n)
  local text = ''
  while n >= 128 do
    text = text .. string.char(n % 128 + 128)
    n = math.floor(n / 128)
  end
  return text .. string.char(n)
end

local function sized(text)
  return varint_text(#text) .. text
end

-- What stands for an encoded event where the whole of it has no room: all up to its source.
local function head_of(event)
  local length, at = varint(event, 3)
  length, at = varint(event, at + length)
  return sub(event, 1, at + length - 1)
end

-- Reads events of a partial, in calls that are not too long.
local function read_events(key, positions, into)
  for first = 1, #positions, 1000 do
    local last = math.min(first + 999, #positions)
    for i, event in ipairs(redis.call('HMGET', key, unpack(positions, first, last))) do
      into[positions[first + i - 1]] = event or error('an event of a partial is missing')
    end
  end
end

-- What a firing joins: refs in the order of leaves, then of the log; each event by its position; the highest number of hops; bytes of all.
local function joined(work, partial, refs)
  local list, events, wanted, hops, bytes = {}, {}, {}, 0, 0
  for at = 1, #refs, REF do
    local ref = sub(refs, at, at + REF - 1)
    local position = sub(ref, 3, 26)
    list[#list + 1] = ref
    if events[position] == nil then
      local event = work.payloads[position]
      events[position] = event or false
      if not event then
        wanted[#wanted + 1] = position
      end
      hops, bytes = math.max(hops, tonumber(sub(ref, 27, 28))), bytes + tonumber(sub(ref, 29, 36))
    end
  end
  table.sort(list)
  read_events(partial.key, wanted, events)
  return list, events, hops, bytes
end

-- Lines up any number of strings.
local function concat(parts)
  if #parts <= 1000 then
    return table.concat(parts)
  end
  local whole = {}
  for first = 1, #parts, 1000 do
    whole[#whole + 1] = table.concat(parts, '', first, math.min(first + 999, #parts))
  end
  return table.concat(whole)
end

-- The firing of a partial at a step, encoded, and how often it was derived from other events. Events that are joined at several leaves are there once.
local function firing_of(work, partial, step, refs)
  local list, events, hops, bytes = joined(work, partial, refs)
  local form = partial.trigger.include == 'refs' and 'r' or bytes > work.most_joined and 's' or 'e'
  local label = partial.label or redis.call('HGET', partial.key, 'k') or '' -- who only settles deadlines does not know it
  local parts = {
    '\2', sized(sized(partial.trigger.head) .. sized(partial.member) .. sized(label) .. time_text(step.time) .. step.position .. (step.deadline and 'd' or 'p') ..
      digits(hops + 1, 2) .. form), varint_text(#list),
  }
  for i, ref in ipairs(list) do
    local position = sub(ref, 3, 26)
    local event = events[position]
    events[position] = ''
    parts[i + 3] = sub(ref, 1, 26) .. sized((form == 'e' or event == '') and event or head_of(event))
  end
  return concat(parts), hops + 1
end

-- Plans entries of the log for firings: few of them together, as redisstore/group.go has it. Last are the fields of the state that change with that.
local function plan_log(plan, log, state, firings, last)
  local ms, seq, size, stored, first = math.max(now(), last.floor, last.settled), last.seq, last.size, last.stored, 1
  if ms > last.floor then
    seq = -1
  end
  while first <= #firings do
    local parts, n, bytes = {}, 0, 0
    while firings[first + n] and (n == 0 or n < 64 and bytes + #firings[first + n] <= 16384) do
      parts[n + 1], bytes = sized(firings[first + n]), bytes + #firings[first + n]
      n = n + 1
    end
    local entry = '\2' .. varint_text(n) .. table.concat(parts)
    seq, first = seq + n, first + n
    plan[#plan + 1] = { 'XADD', log, int(ms) .. '-' .. int(seq), 'n', int(stored), 'e', entry }
    size, stored = size > 0 and size + (#entry - size) / 64 or #entry, stored + n
  end
  if first > 1 then
    plan[#plan + 1] = { 'HSET', state, 'floor', int(ms), 'seq', int(seq), 'size', format('%.3f', size), 'stored', int(stored) }
  end
end

-- Plans dead letters for firings that were derived too often. Each has a position of its own, at which the log has nothing: far behind all that the log
-- can give out in a millisecond.
local function plan_loops(plan, keys, state, loops, record, known)
  local t = int(now())
  for i, firing in ipairs(loops) do
    local id = t .. '-' .. int(2 ^ 52 + known + i)
    plan[#plan + 1] = { 'HSET', keys.copies, id, firing, '#' .. id, '1' }
    plan[#plan + 1] = { 'HSET', keys.holds, id .. ' dead ' .. id .. ' log', '' }
    plan[#plan + 1] = { 'HSET', keys.dead, id .. ' log', record }
    plan[#plan + 1] = { 'ZADD', keys.dead_at, t, id .. ' log' }
  end
  if #loops > 0 then
    plan[#plan + 1] = { 'HINCRBY', state, 'loops', #loops }
  end
end
