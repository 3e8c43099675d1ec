--[[
Reads definitions, each with the version that it has at this moment.

KEYS
  1 documents  hash  id to document
  2 versions   zset  id to version of its last change

ARGV
  1… ids

RETURNS  for each: the document, "" where there is none; its version
]]
local result = {}
for i, id in ipairs(ARGV) do
  result[2 * i - 1] = redis.call('HGET', KEYS[1], id) or ''
  result[2 * i] = int(tonumber(redis.call('ZSCORE', KEYS[2], id) or 0))
end
return result
