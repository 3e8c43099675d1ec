--[[
Takes or renews a replica's lease on a partition. The lease saves work; no guarantee rests on it.

KEYS
  1 state    hash    the partition's state

ARGV
  1 replica  id of the replica
  2 ttl      milliseconds
  3 which    "any" | "orphan": of those that others had, take only one that ran out, not one that was given up

RETURNS  {"held" | "other", milliseconds until the lease runs out, cursor, target}
]]
local t = now()
local s = redis.call('HMGET', KEYS[1], 'owner', 'lease', 'cursor', 'target')
local left = (tonumber(s[2]) or 0) - t
local owner = s[1] or ''
if owner ~= ARGV[1] and (left > 0 or (owner == '' and ARGV[3] == 'orphan')) then
  return { 'other', int(math.max(left, 0)), s[3] or '0-0', s[4] or '' }
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'lease', int(t + tonumber(ARGV[2])))
return { 'held', ARGV[2], s[3] or '0-0', s[4] or '' }
