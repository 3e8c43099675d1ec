-- What several scripts share. The loader puts in front of each of them the functions that it calls; each is a paragraph, and calls only those above it.

-- Redis' clock, in milliseconds.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Prints an integer: tostring and .. would round one of 15 digits.
local function int(n)
  return string.format('%.0f', n)
end

-- Whether stream ID a stands at or before stream ID b.
local function at_or_before(a, b)
  local ams, aseq = string.match(a, '^(%d+)-(%d+)')
  local bms, bseq = string.match(b, '^(%d+)-(%d+)')
  ams, bms = tonumber(ams), tonumber(bms)
  if ams ~= bms then
    return ams < bms
  end
  return tonumber(aseq) <= tonumber(bseq)
end

-- An entry of a queue is a stream ID and a suffix, mostly empty. In an ordered queue the suffix ends with "#" and the entry's lane: of each lane one delivery
-- is under way or waits for another attempt, and no other one of it is leased.
local function id_of(entry)
  return string.match(entry, '^%d+-%d+')
end

local function lane_of(entry)
  return string.match(entry, '#([^#]*)$')
end

local function without_lane(entry)
  return string.match(entry, '^[^#]*')
end

local function suffix_of(entry)
  return string.match(entry, '^%d+-%d+(.*)')
end

-- Calls a command with any number of arguments, in chunks that unpack can take.
local function call_many(command, key, args)
  for first = 1, #args, 1000 do
    redis.call(command, key, unpack(args, first, math.min(first + 999, #args)))
  end
end

-- Reads a number as redisstore/group.go writes it, least significant seven bits first; returns it and where the next byte is.
local function varint(text, at)
  local n, scale = 0, 1
  while true do
    local byte = string.byte(text, at)
    if not byte then
      return nil
    end
    at = at + 1
    if byte < 128 then
      return n + byte * scale, at
    end
    n, scale = n + (byte - 128) * scale, scale * 128
  end
end

-- Where each event of an entry of the log begins and ends, or nil where the entry is not one of ours.
local function events_of(entry)
  local count, at = varint(entry, 2)
  if string.byte(entry, 1) ~= 2 or not count then
    return nil
  end
  local spans = {}
  for i = 1, count do
    local length, first = varint(entry, at)
    if not length then
      return nil
    end
    at = first + length
    spans[i] = { first, at - 1 }
  end
  return spans
end

-- The entry of the log that an ID is in, its text and how many events stand between that ID and its last one; nil where there is none.
local function entry_at(log, id)
  local entry = redis.call('XRANGE', log, id, '+', 'COUNT', 1)[1]
  if not entry then
    return nil
  end
  local text = entry[2][4] or entry[2][2]
  if entry[1] == id then
    return text, 0
  end
  local ms, seq = string.match(id, '^(%d+)-(%d+)')
  local last_ms, last = string.match(entry[1], '^(%d+)-(%d+)')
  local behind, count = tonumber(last) - tonumber(seq), string.byte(text, 1) == 2 and varint(text, 2) or 0
  if ms == last_ms and behind < count then
    return text, behind
  end
  return nil
end

-- The event at an ID, as it stands in the log; what is no event is returned as it is, and nil where there is nothing.
local function event_at(log, id)
  local text, behind = entry_at(log, id)
  local spans = text and events_of(text)
  if not spans then
    return text
  end
  local span = spans[#spans - behind]
  return string.sub(text, span[1], span[2])
end

-- Keeps a copy of the event at an ID for a holder, so that trimming the log cannot take it away. Repeating it is harmless.
local function hold(log, copies, holds, id, holder)
  if redis.call('HSETNX', holds, id .. ' ' .. holder, '') == 0 then
    return
  end
  if redis.call('HINCRBY', copies, '#' .. id, 1) == 1 then
    redis.call('HSET', copies, id, event_at(log, id) or '')
  end
end

-- Gives up a holder's copy; the last holder's goes.
local function release(copies, holds, id, holder)
  if redis.call('HDEL', holds, id .. ' ' .. holder) == 1 then
    if redis.call('HINCRBY', copies, '#' .. id, -1) == 0 then
      redis.call('HDEL', copies, '#' .. id, id)
    end
  end
end

-- Makes a dead letter of a delivery, or of an entry of the log, and keeps its event for it. The name begins with the event's stream ID.
local function make_letter(log, copies, holds, dead, dead_at, name, record, t)
  hold(log, copies, holds, id_of(name), 'dead ' .. name)
  redis.call('HSET', dead, name, record)
  redis.call('ZADD', dead_at, int(t), name)
end

-- The attempts at a delivery, as they are recorded, with one more that did not come to an end, and how many these are.
local function with_expired(attempts, t)
  local number = tonumber(string.match(attempts, '^%d+')) + 1
  return int(number) .. '\n' .. string.match(attempts, '\n(.*)$') .. '{"at":' .. int(t) .. ',"outcome":"expired"}\n', number
end

-- Where it stands, beside a delivery's attempts, who has pulled it: the receipt, a space, the worker's name; on a line of its own, how far it is; after that, its note.
local function receipt_field(entry)
  return entry .. ' receipt'
end

-- Whether a delivery was pulled under a receipt, and not since under another.
local function has_receipt(attempts, entry, receipt)
  return string.match(redis.call('HGET', attempts, receipt_field(entry)) or '', '^(%S*)') == receipt
end

-- Notes how far an operation is in a partition, and what it has done there since.
local function note_progress(progress, cursor, what, n, ttl)
  if cursor ~= '' then
    redis.call('HSET', progress, 'cursor', cursor)
  end
  if n > 0 then
    redis.call('HINCRBY', progress, what, n)
  end
  redis.call('PEXPIRE', progress, ttl)
end

-- Sets when a subscription's queue is looked at next: now where something is due and there is room in flight, else when the
-- next retry or the next lease falls due, but not before the gate; a queue without work leaves the schedule. Returns that time, or nil.
local function reschedule(schedule, subscription, fresh, retries, leases, max, t, gate)
  local at
  if redis.call('ZCARD', leases) < max then
    if redis.call('LLEN', fresh) > 0 then
      at = t
    else
      at = tonumber(redis.call('ZRANGE', retries, 0, 0, 'WITHSCORES')[2])
    end
  end
  local lease = at ~= t and tonumber(redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')[2])
  if lease and (not at or lease < at) then
    at = lease
  end
  if at then
    at = math.max(at, gate)
    redis.call('ZADD', schedule, int(at), subscription)
  else
    redis.call('ZREM', schedule, subscription)
  end
  return at
end

-- What stands for an encoded event where the whole of it has no room: all up to its source.
local function head_of(event)
  local length, at = varint(event, 3)
  length, at = varint(event, at + length)
  return string.sub(event, 1, at + length - 1)
end

-- The breaker of a subscription is in two hashes of its home partition. open says from when on the next attempt is let through; a subscription that is not in it
-- has its breaker closed. state holds what that comes from: the attempts that failed in a row (failures), since when (since), how many probes failed (pauses),
-- and the one that is under way (probe).

-- When the next attempt is let through; nil: all are.
local function open_until(breaker)
  return tonumber(redis.call('HGET', breaker.open, breaker.subscription) or nil)
end

-- Lets an attempt through an open breaker: nobody else gets one until it is judged, or its lease has run out.
local function begin_probe(breaker, name, expires)
  redis.call('HSET', breaker.open, breaker.subscription, expires)
  redis.call('HSET', breaker.state, 'probe', name)
end

-- Learns from attempts that are over. One that was delivered closes the breaker. A number in a row whose endpoint is to blame opens it; while it is open, only
-- the probe counts, and each that fails makes the pause twice as long. Returns when the next attempt is let through, 0 for at any time, and for how long the
-- endpoint has been failing while it is open, else 0.
local function judge(breaker, results, t)
  local s = redis.call('HMGET', breaker.state, 'failures', 'since', 'pauses', 'probe')
  if not s[1] and results.faults == 0 then
    return 0, 0
  end
  if results.delivered then
    redis.call('UNLINK', breaker.state)
    redis.call('HDEL', breaker.open, breaker.subscription)
    return 0, 0
  end
  local failures, since, pauses = tonumber(s[1] or 0) + results.faults, tonumber(s[2] or t), tonumber(s[3] or 0)
  local open, verdict = open_until(breaker), results[s[4]]
  if results.faults > 0 then
    redis.call('HSET', breaker.state, 'failures', int(failures), 'since', int(since))
  end
  if open and verdict then
    pauses = verdict == 'fault' and pauses + 1 or pauses
    open = verdict == 'fault' and t + math.min(breaker.pause * 2 ^ pauses, breaker.longest) or t
    redis.call('HSET', breaker.open, breaker.subscription, int(open))
    redis.call('HSET', breaker.state, 'pauses', int(pauses))
    redis.call('HDEL', breaker.state, 'probe')
  elseif not open and failures >= breaker.threshold then
    open = t + breaker.pause
    redis.call('HSET', breaker.open, breaker.subscription, int(open))
  end
  return open or 0, open and math.max(t - since, 0) or 0 -- the clock may have gone back
end

-- What stands behind others of its lane is in a sorted set, all scores 0, as the lane, the position in a form that sorts, and the entry.
local function waiting_member(lane, entry)
  local ms, seq = string.match(entry, '^(%d+)-(%d+)')
  return lane .. ' ' .. string.rep('0', 20 - #ms) .. ms .. '-' .. string.rep('0', 20 - #seq) .. seq .. ' ' .. entry
end

local function waiting_entry(member)
  return string.match(member, ' ([^ ]*)$')
end
