--[[
Reads partials, without the payloads of their events.

KEYS
  1… partials  hash   one for each partial

ARGV
  none

RETURNS  for each a list of fields and values, empty where there is none: its key "k", its state "s", the parts of the state that have fields of their own, and under
         the position of each event all up to its source
]]
local partials = {}
for i, key in ipairs(KEYS) do
  local partial = {}
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local value = redis.call('HGET', key, field)
    partial[#partial + 1] = field
    partial[#partial + 1] = #field == 24 and head_of(value) or value
  end
  partials[i] = partial
end
return partials
