-- What several scripts share. The loader puts it in front of each of them.

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

-- An entry of a queue is a stream ID and a suffix, mostly empty.
local function id_of(entry)
  return string.match(entry, '^%d+-%d+')
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

-- Where it stands, beside a delivery's attempts, who has pulled it: the receipt, a space, the worker's name; on a line of its own, how far it is; after that, its note.
local function receipt_field(entry)
  return entry .. ' receipt'
end

-- Whether a delivery was pulled under a receipt, and not since under another.
local function has_receipt(attempts, entry, receipt)
  return string.match(redis.call('HGET', attempts, receipt_field(entry)) or '', '^(%S*)') == receipt
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
  local lease = tonumber(redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')[2])
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
