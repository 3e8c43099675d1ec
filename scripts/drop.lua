--[[
Frees partials of one generation of a trigger, and counts them.

KEYS
  1 state      hash    the partition's state
  2 triggers   zset    the schedule of triggers
  3 partials   zset    the generation's partials
  4 counters   hash    the trigger's counters
  5… partials  hash or string  those to be freed

ARGV
  1 token      of the definitions that say that the generation has passed, or "": the partials go whatever the definitions
  2 name       the generation's, in the schedule
  3 what       "some" (the generation stays) | "generation" | "trigger" (its counters go, too)
  4… hashes    of the partials' keys

RETURNS  {"stale", 0} (the definitions have changed since; nothing was done) | {"more" | "done" (nothing is left), number of partials freed}
]]
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
  return { 'stale', 0 }
end
local dropped = 0
for i = 4, #ARGV do
  dropped = dropped + redis.call('ZREM', KEYS[3], ARGV[i])
  redis.call('UNLINK', KEYS[i + 1])
end
if dropped > 0 then
  redis.call('HINCRBY', KEYS[4], 'partials_dropped', dropped)
end
if redis.call('EXISTS', KEYS[3]) == 1 then
  return { 'more', dropped }
end
if ARGV[3] ~= 'some' then
  redis.call('ZREM', KEYS[2], ARGV[2])
end
if ARGV[3] == 'trigger' then
  redis.call('UNLINK', KEYS[4])
end
return { 'done', dropped }
