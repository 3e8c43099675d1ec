--[[
Says when an operation is to be worked on next.

KEYS
  1 operations  zset    those under way, and when somebody works on each next

ARGV
  1 id
  2 at          milliseconds

RETURNS  "later" | "ended" (it is not under way any more)
]]
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return 'ended'
end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
return 'later'
