--[[
Reads the beginning of a partition's inbox.

KEYS
  1 state   hash  the partition's state
  2… lists  list  what came from each partition

ARGV
  1 bytes   of each list, about

RETURNS  {how far the inbox is applied: partition and stream ID, target, then for each list: "more" | "all", number of entries, entries}
]]
local page, most = 8, tonumber(ARGV[1])
local s = redis.call('HMGET', KEYS[1], 'merged', 'merged_target')
local reply = { s[1] or '', s[2] or '' }
for i = 2, #KEYS do
  local head, count, bytes = #reply + 1, 0, 0
  local found
  reply[head], reply[head + 1] = 'all', 0
  repeat
    found = redis.call('LRANGE', KEYS[i], count, count + page - 1)
    for _, entry in ipairs(found) do
      reply[#reply + 1], bytes = entry, bytes + #entry
    end
    count = count + #found
  until #found < page or bytes >= most
  if #found == page then
    reply[head] = 'more'
  end
  reply[head + 1] = count
end
return reply
