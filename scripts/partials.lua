--[[
Reads partials, without the payloads of their events.

KEYS
  1… partials  hash or string  one for each partial

ARGV
  none

RETURNS  for each a list of fields and values, empty where there is none: its key "k", its state "s", the parts of the state that have fields of their own, and under
         the position of each event all up to its source
]]

-- What a partial that is a string would be as a hash.
local function fields_of(single)
  local size = tonumber(string.sub(single, 2, 4))
  local label = 12 + size
  local event = label + tonumber(string.sub(single, 5 + size, 11 + size))
  local fields = { 'k', string.sub(single, label, event - 1), 's', string.sub(single, 5, 4 + size) }
  if event <= #single then
    fields[5], fields[6] = string.sub(single, 73, 96), head_of(string.sub(single, event))
  end
  return fields
end

local partials, singles = {}, redis.call('MGET', unpack(KEYS))
for i, key in ipairs(KEYS) do
  local partial = singles[i] and fields_of(singles[i]) or {}
  for _, field in ipairs(singles[i] and {} or redis.call('HKEYS', key)) do
    local value = redis.call('HGET', key, field)
    partial[#partial + 1] = field
    partial[#partial + 1] = #field == 24 and head_of(value) or value
  end
  partials[i] = partial
end
return partials
