--[[
Raises the horizon: from now on, whatever moves in a queue and points at or below it keeps a copy of its event. It never passes the cursor.

KEYS
  1 state    hash    the partition's state
  2 log      stream  the partition's log

ARGV
  1 before   accept time in milliseconds: events before it may go; "0" for none
  2 keep     number of entries that the log may keep; what is more may go
  3 page     how many entries one call looks at, when it counts

RETURNS  {horizon, number of entries in the log}
]]
local state, log = KEYS[1], KEYS[2]
local s = redis.call('HMGET', state, 'cursor', 'target', 'horizon')
local cursor, target, horizon = s[1] or '0-0', s[2] or '', s[3] or '0-0'
local length = redis.call('XLEN', log)

local wanted = int(tonumber(ARGV[1])) .. '-0'
local surplus = math.min(length - tonumber(ARGV[2]), tonumber(ARGV[3]))
if surplus > 0 then
  local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', int(surplus))
  local last = oldest[#oldest][1]
  if at_or_before(wanted, last) then
    wanted = last
  end
end
-- An event that is applied in part is still needed.
local function applied_through()
  local ms, seq = string.match(cursor, '^(%d+)-(%d+)')
  if target == '' or cursor == '0-0' then
    return cursor
  elseif seq == '0' then
    return int(tonumber(ms) - 1) .. '-' .. int(2 ^ 53)
  end
  return ms .. '-' .. int(tonumber(seq) - 1)
end

local applied = applied_through()
if at_or_before(applied, wanted) then
  wanted = applied
end
if not at_or_before(wanted, horizon) then
  horizon = wanted
  redis.call('HSET', state, 'horizon', horizon)
end
return { horizon, length }
