--[[
Takes the part of the dedupe ring that the present needs into use, emptied of what it held one and a half windows ago.

KEYS
  1 state    hash    the partition's state
  2 seen0    hash    dedupe ring
  3 seen1    hash
  4 seen2    hash

ARGV     none

RETURNS  "rotated" | "current" (it was in use already)
]]
local s = redis.call('HMGET', KEYS[1], 'window', 'floor', 'settled')
local half = math.floor(tonumber(s[1]) / 2)
local bucket = math.floor(math.max(now(), tonumber(s[2] or 0), tonumber(s[3] or 0)) / half)
local slot = bucket % 3
if redis.call('HGET', KEYS[1], 'ring' .. slot) == int(bucket) then
  return 'current'
end
redis.call('UNLINK', KEYS[2 + slot])
redis.call('HSET', KEYS[1], 'ring' .. slot, int(bucket))
return 'rotated'
