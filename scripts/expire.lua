--[[
Removes the oldest dead letters, a page at a time, and counts them.

KEYS
  1 state    hash    the partition's state
  2 copies   hash    events kept beyond the log
  3 holds    hash    who keeps them
  4 dead     hash    dead letters
  5 dead_at  zset    when they were made

ARGV
  1 before   milliseconds: those made before it go
  2 page     how many at most

RETURNS  number of dead letters removed
]]
local old = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
for _, name in ipairs(old) do
  release(KEYS[2], KEYS[3], id_of(name), 'dead ' .. name)
end
call_many('HDEL', KEYS[4], old)
call_many('ZREM', KEYS[5], old)
if #old > 0 then
  redis.call('HINCRBY', KEYS[1], 'dead_expired', #old)
end
return #old
