--[[
Makes leases of deliveries that were pulled run out at another time, and keeps what the worker says of them. Only the receipt that a delivery is
leased under can do that, before the lease runs out; of a deleted subscription, none.

KEYS
  1 gone      hash    deleted subscriptions
  2 schedule  zset    queues that workers pull from
  3 fresh     list    the queue
  4 retries   zset
  5 leases    zset
  6 attempts  hash
  7 paused    hash    paused subscriptions

ARGV
  1 subscription
  2 max       in flight
  3 lease     milliseconds from now
  4 progress  0 to 100, or "" to keep what was said before
  5 note      any text, after "+", or "" to keep what was said before
  6… leases   for each: entry, receipt

RETURNS  {when the leases run out now, then for each "ok" | "expired"}
]]
local t = now()
local expires = int(t + tonumber(ARGV[3]))
local result = { expires }
local gone = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1

-- The record of a receipt with what was said now in the place of what was said before.
local function noted(record)
  local head, progress, note = string.match(record, '^([^\n]*)\n([^\n]*)\n?(.*)$')
  progress = ARGV[4] ~= '' and ARGV[4] or progress
  note = ARGV[5] ~= '' and string.sub(ARGV[5], 2) or note
  return head .. '\n' .. progress .. '\n' .. note
end

local leases, notes = {}, {}
for i = 6, #ARGV, 2 do
  local entry = ARGV[i]
  local ends = not gone and tonumber(redis.call('ZSCORE', KEYS[5], entry) or nil)
  local held = ends and ends > t and has_receipt(KEYS[6], entry, ARGV[i + 1])
  if held then
    local field = receipt_field(entry)
    leases[#leases + 1], leases[#leases + 2] = expires, entry
    notes[#notes + 1], notes[#notes + 2] = field, noted(redis.call('HGET', KEYS[6], field))
  end
  result[#result + 1] = held and 'ok' or 'expired'
end
call_many('ZADD', KEYS[5], leases)
call_many('HSET', KEYS[6], notes)
if not gone and redis.call('HEXISTS', KEYS[7], ARGV[1]) == 0 then
  reschedule(KEYS[2], ARGV[1], KEYS[3], KEYS[4], KEYS[5], tonumber(ARGV[2]), t, 0)
end
return result
