--[[
Records what a deployment fixes at its first start, and tells what was fixed.

KEYS
  1 meta        hash    the deployment

ARGV
  1 format      version of the stored format
  2 oldest      the oldest format that this one goes on from. It is this one from then on, so that earlier programs, which can't read it, don't
                start
  3 partitions  number of partitions that is wanted; "0": whatever is there, else 1

RETURNS  {format, partitions}
]]
local partitions = ARGV[3] == '0' and '1' or ARGV[3]
redis.call('HSETNX', KEYS[1], 'format', ARGV[1])
local format = tonumber(redis.call('HGET', KEYS[1], 'format'))
if format and format >= tonumber(ARGV[2]) and format < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'format', ARGV[1])
end
redis.call('HSETNX', KEYS[1], 'partitions', partitions)
return redis.call('HMGET', KEYS[1], 'format', 'partitions')
