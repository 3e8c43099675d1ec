--[[
Begins an operation, unless one that does the same is under way.

KEYS
  1 open      zset    operations under way, and when somebody works on each next
  2 same      hash    what an operation under way does, in a digest, to its id
  3 document  string  the operation's

ARGV
  1 id
  2 digest
  3 document

RETURNS  {"begun" | "known", id of the one that is under way}
]]
local known = redis.call('HGET', KEYS[2], ARGV[2])
if known and redis.call('ZSCORE', KEYS[1], known) then
  return { 'known', known }
end
redis.call('SET', KEYS[3], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[1], int(now()), ARGV[1])
return { 'begun', ARGV[1] }
