--[[
Gives a replica's lease on a partition up, so that another takes over at once.

KEYS
  1 state    hash    the partition's state

ARGV
  1 replica  id of the replica

RETURNS  "released" | "other" (it was not this replica's)
]]
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then
  return 'other'
end
redis.call('HSET', KEYS[1], 'owner', '', 'lease', 0)
return 'released'
