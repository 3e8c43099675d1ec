--[[
Copies what one queue still needs of the events at or below the horizon, a page at a time. Deliveries that move while this goes on are
copied by the script that moves them.

KEYS
  1 state     hash    the partition's state
  2 log       stream  the partition's log
  3 copies    hash    events kept beyond the log
  4 holds     hash    who keeps them
  5 fresh     list    the queue
  6 retries   zset
  7 leases    zset
  8 counters  hash
  9 waiting   zset

ARGV
  1 subscription
  2 part      "fresh" | "retries" | "leases" | "waiting"
  3 at        where this page starts: for fresh, how many entries the queue had ever given out before it; for retries and waiting, a scan cursor
  4 page      how many entries at most

RETURNS  {"more" | "done", where the next page starts}
]]
local log, copies, holds = KEYS[2], KEYS[3], KEYS[4]
local horizon = redis.call('HGET', KEYS[1], 'horizon') or '0-0'
local page = tonumber(ARGV[4])

local function keep(entry)
  if not at_or_before(entry, horizon) then
    return false
  end
  hold(log, copies, holds, id_of(entry), ARGV[1] .. suffix_of(entry))
  return true
end

local parts = {}

function parts.fresh()
  local popped = tonumber(redis.call('HGET', KEYS[8], 'popped')) or 0
  local first = math.max(tonumber(ARGV[3]) - popped, 0)
  local entries = redis.call('LRANGE', KEYS[5], int(first), int(first + page - 1))
  for _, entry in ipairs(entries) do
    if not keep(entry) then
      return { 'done', '0' }
    end
  end
  return { #entries == page and 'more' or 'done', int(popped + first + #entries) }
end

function parts.retries()
  local found = redis.call('ZSCAN', KEYS[6], ARGV[3], 'COUNT', int(page))
  for i = 1, #found[2], 2 do
    keep(found[2][i])
  end
  return { found[1] == '0' and 'done' or 'more', found[1] }
end

function parts.waiting()
  local found = redis.call('ZSCAN', KEYS[9], ARGV[3], 'COUNT', int(page))
  for i = 1, #found[2], 2 do
    keep(waiting_entry(found[2][i]))
  end
  return { found[1] == '0' and 'done' or 'more', found[1] }
end

function parts.leases()
  for _, entry in ipairs(redis.call('ZRANGE', KEYS[7], 0, -1)) do
    keep(entry)
  end
  return { 'done', '0' }
end

return parts[ARGV[2]]()
