--[[
Stores events in the log, all of them or none: none where the identity of one was seen within the dedupe window. The caller takes those out
and calls again.

KEYS
  1 state    hash    the partition's state
  2 log      stream  the partition's log
  3 seen0    hash    dedupe ring: identity to what was stored under it
  4 seen1    hash
  5 seen2    hash

ARGV
  1 nonce    8 bytes that name this call and its repeats
  2 count    number of events
  3… events  two for each event: its identity (16 bytes), and its record: fingerprint (16), place in this call (2), nonce (8)
  … groups   two for each entry of the log: number of its events, the events as one string

RETURNS  "rotate" (the current part of the ring is not in use yet: call rotate, then this again) |
         {"known", then for each event that was seen: its place from 1, its record, ID of the first event of the call that stored it} |
         {"stored", last ID given out before, first ID given out now, the others following it}

An entry has the ID of its last event; those before it in the entry have the IDs before it. The ring holds an event's record under its identity, and the
ID of its call's first event at the end of the record or, where many share it, once under the call's nonce.
]]
local state, log = KEYS[1], KEYS[2]
local nonce, count = ARGV[1], tonumber(ARGV[2])
local few = 4 -- up to here an ID at the end of each record takes less memory than a field for it

-- Printing a number costs as much as a command, so what is stored is passed on as the text it is where that can be.
local s = redis.call('HMGET', state, 'floor', 'seq', 'window', 'ring0', 'ring1', 'ring2', 'size', 'stored', 'settled')
local previous = (s[1] or '0') .. '-' .. (s[2] or '0')
-- Neither positions nor the dedupe window go back when the clock does, nor does an event come before a deadline that was settled.
local floor, ms = tonumber(s[1] or 0), math.max(now(), tonumber(s[9] or 0))
local seq = -1
if ms <= floor then
  ms, seq = floor, tonumber(s[2])
end
local bucket = math.floor(ms / math.floor(tonumber(s[3]) / 2))

-- The part of the ring for a half window, or nil where that is not in use.
local function ring(b)
  local slot = b % 3
  return tonumber(s[4 + slot] or -1) == b and KEYS[3 + slot] or nil
end

local current = ring(bucket)
if not current then
  return 'rotate'
end

local identities = {}
for i = 1, count do
  identities[i] = ARGV[2 * i + 1]
end

-- The record of each identity that has one, and in which part of the ring it is.
local function find_known()
  local known, where = {}, {}
  for b = bucket - 2, bucket do
    local key = ring(b)
    local records = key and redis.call('HMGET', key, unpack(identities)) or {}
    for i, record in ipairs(records) do
      if record then
        known[i], where[i] = record, key
      end
    end
  end
  return known, where
end

local function list(known, where)
  local result = { 'known' }
  for i = 1, count do
    if known[i] then
      result[#result + 1] = i
      result[#result + 1] = string.sub(known[i], 1, 26)
      result[#result + 1] = #known[i] > 26 and string.sub(known[i], 27) or redis.call('HGET', where[i], string.sub(known[i], 19))
    end
  end
  return result
end

local known, where = find_known()
if next(known) then
  return list(known, where)
end

local prefix = int(ms) .. '-'
local first = prefix .. seq + 1
local size, stored = tonumber(s[7] or 0), tonumber(s[8] or 0)
local before, id = s[8] or '0', nil
for i = 3 + 2 * count, #ARGV, 2 do
  local events = ARGV[i + 1]
  seq = seq + ARGV[i]
  id = prefix .. seq
  redis.call('XADD', log, id, 'n', before, 'e', events)
  stored = stored + ARGV[i]
  before = int(stored)
  size = size > 0 and size + (#events - size) / 64 or #events
end

local last = 2 + 2 * count
if count <= few then
  for i = 4, last, 2 do
    ARGV[i] = ARGV[i] .. first
  end
  redis.call('HSET', current, unpack(ARGV, 3, last))
else
  redis.call('HSET', current, nonce, first, unpack(ARGV, 3, last))
end
redis.call('HSET', state, 'floor', string.sub(prefix, 1, -2), 'seq', string.sub(id, #prefix + 1), 'stored', before, 'size', int(size))
return { 'stored', previous, first }
