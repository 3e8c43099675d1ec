-- What claim and settle both do: take fresh deliveries of a queue, and lease them. The loader puts this in front of them, behind common. The first four keys
-- of both are the partition's state, its log, the events kept beyond the log, and who keeps them.
local log, copies, holds = KEYS[2], KEYS[3], KEYS[4]
local t = now()
local state = redis.call('HMGET', KEYS[1], 'token', 'horizon')
local definitions, horizon = state[1] or '', state[2] or '0-0'

-- What moves keeps a copy of its event, if that may be trimmed.
local function keep(queue, entry)
  if at_or_before(entry, horizon) then
    hold(log, copies, holds, id_of(entry), queue.subscription .. suffix_of(entry))
  end
end

-- Tells whether an entry is the first of its lane, which it then occupies; else it is set aside, behind the others.
local function goes_first(queue, entry)
  local lane = lane_of(entry)
  if not lane or redis.call('HSETNX', queue.lanes, lane, entry) == 1 then
    return true
  end
  redis.call('ZADD', queue.waiting, 0, waiting_member(lane, entry))
  keep(queue, entry)
  return false
end

-- Whether any of some entries has a lane. Most have none, so they are looked at together.
local function has_lanes(entries)
  return string.find(table.concat(entries, ' '), '#', 1, true)
end

-- Looks at so many fresh deliveries at most for some that are not behind others.
local most_looked_at = 256

local function take_fresh(queue, want)
  local fresh, looked_at = {}, 0
  while #fresh < want and looked_at < math.max(want, most_looked_at) do
    local popped = redis.call('LPOP', queue.fresh, int(want - #fresh)) or {}
    if #popped == 0 then
      break
    end
    looked_at = looked_at + #popped
    if #fresh == 0 and not has_lanes(popped) then
      fresh = popped
    else
      for _, entry in ipairs(popped) do
        if goes_first(queue, entry) then
          fresh[#fresh + 1] = entry
        end
      end
    end
  end
  if looked_at > 0 then
    redis.call('HINCRBY', queue.counters, 'popped', looked_at)
  end
  return fresh
end

-- Leases fresh deliveries until a time, and with them what is in leases already: expiry and entry in turn.
local function lease_all(queue, leases, fresh, expires)
  local n = #leases
  for i = 1, #fresh do
    leases[n + 2 * i - 1], leases[n + 2 * i] = expires, fresh[i]
  end
  if fresh[1] and at_or_before(fresh[1], horizon) then
    for _, entry in ipairs(fresh) do
      keep(queue, entry)
    end
  end
  call_many('ZADD', queue.leases, leases)
end
