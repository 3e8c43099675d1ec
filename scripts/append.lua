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
         {"stored", last ID given out before, nonce and first ID given out now, the others following it}

An entry has the ID of its last event; those before it in the entry have the IDs before it. What is recorded under an identity is its
fingerprint, place and nonce, and the ID of the first event of that call.
]]
local state, log = KEYS[1], KEYS[2]
local nonce, packed = ARGV[1], ARGV[2]
local width = 34

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

local sub = string.sub
local identities, count = {}, #packed / width
for i = 1, count do
  identities[i] = sub(packed, width * i - 33, width * i - 18)
end

-- The newest record of each identity that has one.
local function find_known()
  local known = {}
  for b = bucket - 2, bucket do
    local key = ring(b)
    local records = key and redis.call('HMGET', key, unpack(identities)) or {}
    for i, record in ipairs(records) do
      known[i] = record or known[i]
    end
  end
  return known
end

local function list(known)
  local result = { 'known' }
  for i = 1, count do
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

local first, prefix = seq + 1, int(ms) .. '-'
local size, stored = tonumber(s[7] or 0), tonumber(s[8] or 0)
local before, id = s[8] or '0', nil
for i = 3, #ARGV, 2 do
  local events = ARGV[i + 1]
  seq = seq + ARGV[i]
  id = prefix .. seq
  redis.call('XADD', log, id, 'n', before, 'e', events)
  stored = stored + ARGV[i]
  before = int(stored)
  size = size > 0 and size + (#events - size) / 64 or #events
end

local tail = nonce .. prefix .. first
local records = {}
for i = 1, count do
  records[2 * i - 1], records[2 * i] = identities[i], sub(packed, width * i - 17, width * i) .. tail
end
call_many('HSET', current, records)
redis.call('HSET', state, 'floor', sub(prefix, 1, -2), 'seq', sub(id, #prefix + 1), 'stored', before, 'size', int(size))
return { 'stored', previous, tail }
