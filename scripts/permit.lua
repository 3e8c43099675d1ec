--[[
Takes permits to make attempts at deliveries of a subscription, and gives back those that are not needed any more. There are permits to be in flight,
where the subscription has queues in several partitions; one that is not given back runs out by itself. And there are permits of its rate: one is used up when
it is taken, and given back only if no attempt was made. This runs in the subscription's home partition.

KEYS
  1 permits  zset    permit in flight to when it runs out
  2 rate     string  the permits of the rate that count: date, colon and number of each, with spaces between them

ARGV
  1 max      how many may be in flight; 0: that is not counted here
  2 want     how many to take
  3 ttl      milliseconds until permits in flight run out
  4 name     what the taken ones are called: this and a number
  5 limit    how many attempts may begin in each window of the rate; 0: there is no rate
  6 per      length of the window in milliseconds
  7 slack    milliseconds within which the attempt begins for which a permit is taken now
  8 dates    number of permits of the rate that are given back; their dates
  … back     permits in flight that are given back

RETURNS  {number of permits taken, milliseconds until the rate has another one, if that is what there are too few of, else 0, date of those of the rate}
]]
local permits, rate = KEYS[1], KEYS[2]
local max, limit, per = tonumber(ARGV[1]), tonumber(ARGV[5]), tonumber(ARGV[6])
local t = now()

-- What counts of the rate, by date: an attempt may begin up to that time, so it counts until a window later. Dates are rounded up to a two-hundredth of the
-- window, so that there are never many.
local grain = math.max(1, math.floor(per / 200))
local used, counts, dates = 0, {}, {}

local function count(date, n)
  if not counts[date] then
    dates[#dates + 1] = date
  end
  counts[date] = (counts[date] or 0) + n
  used = used + n
end

local function rounded(date)
  return math.ceil(date / grain) * grain
end

-- Reads what still counts. A date that is far ahead is of a clock that has gone back since.
local function read_rate()
  for date, n in string.gmatch(redis.call('GET', rate) or '', '(%d+):(%d+)') do
    date = tonumber(date)
    if date > t + 2 * per then
      date = rounded(t)
    end
    if date + per > t then
      count(date, tonumber(n))
    end
  end
end

local function write_rate()
  local list = {}
  for _, date in ipairs(dates) do
    if counts[date] > 0 then
      list[#list + 1] = int(date) .. ':' .. int(counts[date])
    end
  end
  redis.call('SET', rate, table.concat(list, ' '), 'PX', int(2 * per + 60000))
end

-- When the first of those that count does not count any more.
local function next_permit()
  local first
  for _, date in ipairs(dates) do
    if counts[date] > 0 and (not first or date < first) then
      first = date
    end
  end
  return math.max(1, first + per - t)
end

local function give_back()
  local last = 8 + tonumber(ARGV[8])
  for i = 9, last do
    local date = tonumber(ARGV[i])
    if counts[date] and counts[date] > 0 then
      count(date, -1)
    end
  end
  if #ARGV > last then
    redis.call('ZREM', permits, unpack(ARGV, last + 1))
  end
end

local function in_flight(want)
  if max == 0 then
    return want
  end
  redis.call('ZREMRANGEBYSCORE', permits, '-inf', int(t))
  return math.max(0, math.min(want, max - redis.call('ZCARD', permits)))
end

if limit > 0 then
  read_rate()
end
give_back()
local wanted = in_flight(tonumber(ARGV[2]))
local taken, wait, date = wanted, 0, 0
if limit > 0 then
  taken = math.max(0, math.min(wanted, limit - used))
  date = rounded(t + 1 + tonumber(ARGV[7]))
  if taken > 0 then
    count(date, taken)
  end
  if taken < wanted then
    wait = next_permit()
  end
  write_rate()
end
if max > 0 then
  for i = 1, taken do
    redis.call('ZADD', permits, int(t + tonumber(ARGV[3])), ARGV[4] .. ' ' .. i)
  end
end
return { taken, wait, int(date) }
