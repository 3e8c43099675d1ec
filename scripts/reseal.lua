--[[
Writes what is stored of a definition anew, where it means the same as before: its version stays.

KEYS
  1 documents  hash    id to document

ARGV
  1 id
  2 old        what must be stored
  3 new        what is stored instead

RETURNS  "done" | "changed": something else is stored, or nothing
]]
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 'changed'
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 'done'
