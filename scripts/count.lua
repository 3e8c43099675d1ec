--[[
Adds to what a source counted. Of a source that has been deleted nothing is kept.

KEYS
  1 documents  hash    id to document, of sources
  2 counters   hash    the source's

ARGV
  1 id
  2… counts    name and how much to add, in turn

RETURNS  "counted" | "missing"
]]
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 'missing'
end
for i = 2, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[2], ARGV[i], ARGV[i + 1])
end
return 'counted'
