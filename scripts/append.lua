--[[
Stores events in the log, each once: an event whose identity was seen within the dedupe window is not stored again.

KEYS
  1 state    hash    the partition's state
  2 log      stream  the partition's log
  3 seen0    hash    dedupe ring: identity to what was stored under it
  4 seen1    hash
  5 seen2    hash

ARGV
  1 nonce    8 bytes that name this call and its repeats
  2… events  for each: identity (16 bytes), fingerprint (16 bytes), encoded event

RETURNS  "rotate" (the current part of the ring is not in use yet: call rotate, then this again), or milliseconds and number of the first
         ID given out, the others following it, then three for each event that got none: which, "repeat" (this call stored it before) |
         "duplicate" | "reused", and its stream ID
]]
local state, log = KEYS[1], KEYS[2]
local nonce = ARGV[1]
local count = (#ARGV - 1) / 3

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

local identities = {}
for i = 1, count do
  identities[i] = ARGV[3 * i - 1]
end

-- The newest record of each identity, as fingerprint, nonce and stream ID in one string.
local seen = redis.call('HMGET', current, unpack(identities))
for b = bucket - 1, bucket - 2, -1 do
  local key, valid = ring(b)
  if valid then
    local older = redis.call('HMGET', key, unpack(identities))
    for i = 1, count do
      seen[i] = seen[i] or older[i]
    end
  end
end

if ms > floor then
  seq = -1
end

local results, records, here = { int(ms), int(seq + 1) }, {}, {}
local size = tonumber(s[7] or 0)
local prefix = int(ms) .. '-'
local stored = 0

-- What became of an event whose identity is known.
local function judge(i, known)
  local word = 'duplicate'
  if string.sub(known, 1, 16) ~= ARGV[3 * i] then
    word = 'reused'
  elseif string.sub(known, 17, 24) == nonce and not here[identities[i]] then
    word = 'repeat'
    here[identities[i]] = known
  end
  local n = #results
  results[n + 1], results[n + 2], results[n + 3] = i, word, string.sub(known, 25)
end

for i = 1, count do
  local identity = identities[i]
  local known = seen[i] or here[identity]
  if known then
    judge(i, known)
  else
    seq = seq + 1
    stored = stored + 1
    local id, event = prefix .. seq, ARGV[3 * i + 1]
    redis.call('XADD', log, id, 'e', event)
    size = size > 0 and size + (#event - size) / 1024 or #event
    known = ARGV[3 * i] .. nonce .. id
    here[identity] = known
    records[2 * stored - 1], records[2 * stored] = identity, known
  end
end

if stored > 0 then
  call_many('HSET', current, records)
  redis.call('HSET', state, 'floor', int(ms), 'seq', int(seq), 'size', string.format('%.3f', size),
    'stored', int((tonumber(s[8]) or 0) + stored))
end
return results
