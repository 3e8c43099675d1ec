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
  2 packed   for each event 34 bytes: identity (16), fingerprint (16), its place in this call (2)
  3… groups  two for each entry of the log: number of its events, the events as one string

RETURNS  "rotate" (the current part of the ring is not in use yet: call rotate, then this again) |
         {"known", then for each event that was seen: its place from 1, what is recorded of it} |
         {"stored", last ID given out before, milliseconds and number of the first ID given out now, the others following it}

An entry has the ID of its last event; those before it in the entry have the IDs before it. What is recorded under an identity is its
fingerprint, place and nonce, and the ID of the first event of that call.
]]
local state, log = KEYS[1], KEYS[2]
local nonce, packed = ARGV[1], ARGV[2]
local width = 34

local s = redis.call('HMGET', state, 'floor', 'seq', 'window', 'ring0', 'ring1', 'ring2', 'size', 'stored')
local floor, seq, half = tonumber(s[1] or 0), tonumber(s[2] or 0), math.floor(tonumber(s[3]) / 2)
-- Neither positions nor the dedupe window go back when the clock does.
local ms = math.max(now(), floor)
local bucket = math.floor(ms / half)

local function ring(b)
  local slot = b % 3
  return KEYS[3 + slot], s[4 + slot] == int(b)
end

local current, usable = ring(bucket)
if not usable then
  return 'rotate'
end

local sub = string.sub
local identities = {}
for at = 1, #packed, width do
  identities[#identities + 1] = sub(packed, at, at + 15)
end

-- The newest record of each identity that has one.
local function find_known()
  local known = {}
  for b = bucket - 2, bucket do
    local key, valid = ring(b)
    if valid then
      local records = redis.call('HMGET', key, unpack(identities))
      for i = 1, #identities do
        known[i] = records[i] or known[i]
      end
    end
  end
  return known
end

local function list(known)
  local result = { 'known' }
  for i = 1, #identities do
    if known[i] then
      result[#result + 1] = i
      result[#result + 1] = known[i]
    end
  end
  return result
end

local known = find_known()
if next(known) then
  return list(known)
end

local previous = int(floor) .. '-' .. int(seq)
if ms > floor then
  seq = -1
end
local first = int(seq + 1)

local size, stored = tonumber(s[7] or 0), tonumber(s[8] or 0)
for i = 3, #ARGV, 2 do
  local count, events = tonumber(ARGV[i]), ARGV[i + 1]
  seq = seq + count
  redis.call('XADD', log, int(ms) .. '-' .. int(seq), 'n', int(stored), 'e', events)
  stored = stored + count
  size = size > 0 and size + (#events - size) / 64 or #events
end

local tail = nonce .. int(ms) .. '-' .. first
local records = {}
for i = 1, #identities do
  local at = width * i - 17
  records[2 * i - 1], records[2 * i] = identities[i], sub(packed, at, at + 17) .. tail
end
call_many('HSET', current, records)
redis.call('HSET', state, 'floor', int(ms), 'seq', int(seq), 'size', string.format('%.3f', size), 'stored', int(stored))
return { 'stored', previous, int(ms), first }
