--[[
Records what a deployment fixes at its first start, and tells what was fixed.

KEYS
  1 meta        hash    the deployment

ARGV
  1 format      version of the stored format
  2 partitions  number of partitions that is wanted; "0": whatever is there, else 1

RETURNS  {format, partitions}
]]
local partitions = ARGV[2] == '0' and '1' or ARGV[2]
redis.call('HSETNX', KEYS[1], 'format', ARGV[1])
redis.call('HSETNX', KEYS[1], 'partitions', partitions)
return redis.call('HMGET', KEYS[1], 'format', 'partitions')
