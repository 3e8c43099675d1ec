--[[
Brings events of one partition into the inbox of another, where partials are that they may concern. The comparison with what was forwarded last makes a call safe to
repeat: it adds its entries once.

KEYS
  1 state      hash  of the partition that the inbox is in
  2 forwarded  hash  partition to the last thing that was forwarded from it
  3 inbox      list  what came from that one partition

ARGV
  1 token      of the definitions that the events were matched under
  2 partition  that the events are in the log of
  3 after      the last thing that was forwarded before: stream ID, a space, target
  4 to         the same after this call
  5… entries   in order

RETURNS  {"stale", ""} | {"fenced", the last thing that was forwarded} | {"done", to}
]]
if (redis.call('HGET', KEYS[1], 'token') or '') ~= ARGV[1] then
  return { 'stale', '' }
end
local last = redis.call('HGET', KEYS[2], ARGV[2]) or '0-0 '
if last ~= ARGV[3] then
  return { 'fenced', last }
end
for first = 5, #ARGV, 1000 do
  redis.call('RPUSH', KEYS[3], unpack(ARGV, first, math.min(first + 999, #ARGV)))
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
return { 'done', ARGV[4] }
