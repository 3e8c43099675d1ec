--[[
Tells where a delivery is, and what is recorded of it.

KEYS
  1 fresh      list
  2 retries    zset
  3 leases     zset
  4 attempts   hash
  5 successes  list
  6 dead       hash    dead letters
  7 waiting    zset    of an ordered queue: what stands behind others of its lane

ARGV
  1 entry     with its lane, if it has one
  2 letter    what the delivery is called among the dead letters

RETURNS  {"leased", attempts, when the lease runs out, receipt of a worker that pulls} | {"waiting", attempts, when it is due again} |
         {"behind", attempts} (others of its lane come first) | {"fresh"} | {"dead", attempts} | {"delivered", record} | {"none"}
]]
local entry = ARGV[1]

-- The list is in log order, so that halving it again and again finds an entry.
local function is_fresh()
  local low, high = 0, redis.call('LLEN', KEYS[1]) - 1
  while low <= high do
    local middle = math.floor((low + high) / 2)
    local found = redis.call('LINDEX', KEYS[1], middle)
    if found == entry then
      return true
    end
    if at_or_before(found, entry) then
      low = middle + 1
    else
      high = middle - 1
    end
  end
  return false
end

local function success()
  for _, record in ipairs(redis.call('LRANGE', KEYS[5], 0, -1)) do
    if string.match(record, '^%S*') == without_lane(entry) then
      return record
    end
  end
  return nil
end

local attempts = redis.call('HGET', KEYS[4], entry) or ''
local expires = redis.call('ZSCORE', KEYS[3], entry)
if expires then
  return { 'leased', attempts, int(tonumber(expires)), redis.call('HGET', KEYS[4], receipt_field(entry)) or '' }
end
local due = redis.call('ZSCORE', KEYS[2], entry)
if due then
  return { 'waiting', attempts, int(tonumber(due)) }
end
if lane_of(entry) and redis.call('ZSCORE', KEYS[7], waiting_member(lane_of(entry), entry)) then
  return { 'behind', attempts }
end
local dead = redis.call('HGET', KEYS[6], ARGV[2])
if dead then
  return { 'dead', dead }
end
local record = success()
if record then
  return { 'delivered', record }
end
return { is_fresh() and 'fresh' or 'none' }
