--[[
Takes permits to make attempts at deliveries of a subscription, and gives back those that are not needed any more. There are permits to be in flight,
where the subscription has queues in several partitions; one that is not given back runs out by itself. And there are permits of its rate: one is used up when
it is taken, and given back only if no attempt was made. This runs in the subscription's home partition, where its breaker is, too: an open one lets one
permit in flight through at a time.

KEYS
  1 permits  zset    permit in flight to when it runs out
  2 rate     string  the permits of the rate that count: date, colon and number of each, with spaces between them
  3 open     hash    subscriptions whose breaker is open, and from when on it lets an attempt through
  4 breaker  hash    the subscription's

ARGV
  1 max        how many may be in flight; 0: that is not counted here
  2 want       how many to take
  3 ttl        milliseconds until permits in flight run out
  4 name       what the taken ones are called: this and a number
  5 limit      how many attempts may begin in each window of the rate; 0: there is no rate
  6 per        length of the window in milliseconds
  7 slack      milliseconds within which the attempt begins for which a permit is taken now
  8 threshold  how many failures in a row open the breaker; 0: there is none, or it is not judged here
  9 pause      of the breaker, in milliseconds
  10 longest    pause
  11 subscription
  12 dates      number of permits of the rate that are told of; for each its date: it is given back; or its date, a colon, and by how many milliseconds
                before that the attempt has begun
  … back       permits in flight that are given back: for each, its name and what the attempt says of the endpoint: "delivered" | "fault" | "other"

RETURNS  {number of permits taken, milliseconds until there may be another one, if the rate or the breaker is why there are too few, else 0, date of those of
         the rate, for how many milliseconds the endpoint has been failing, if the breaker is open, else 0}
]]
local permits, rate = KEYS[1], KEYS[2]
local breaker = {
  open = KEYS[3], state = KEYS[4], subscription = ARGV[11],
  threshold = tonumber(ARGV[8]), pause = tonumber(ARGV[9]), longest = tonumber(ARGV[10]),
}
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

-- In how many milliseconds there may be another permit: when the first of those that count does not any more, or can't come back any more, since its attempt
-- has begun.
local function next_permit()
  local first
  for _, date in ipairs(dates) do
    local at = date > t and date or date + per
    if counts[date] > 0 and (not first or at < first) then
      first = at
    end
  end
  return math.max(1, first - t)
end

local results = { faults = 0 }

local function give_back()
  local last = 12 + tonumber(ARGV[12])
  for i = 13, last do
    local date, early = string.match(ARGV[i], '^(%d+):?(%d*)$')
    date, early = tonumber(date), tonumber(early)
    if counts[date] and counts[date] > 0 then
      count(date, -1)
      if early and rounded(date - early) + per > t then
        count(rounded(date - early), 1)
      end
    end
  end
  for i = last + 1, #ARGV, 2 do
    redis.call('ZREM', permits, ARGV[i])
    results[ARGV[i]] = ARGV[i + 1]
    results.faults = results.faults + (ARGV[i + 1] == 'fault' and 1 or 0)
    results.delivered = results.delivered or ARGV[i + 1] == 'delivered'
  end
end

-- How many may be in flight besides those that are.
local function in_flight(want)
  if max == 0 then
    return want
  end
  redis.call('ZREMRANGEBYSCORE', permits, '-inf', int(t))
  return math.max(0, math.min(want, max - redis.call('ZCARD', permits)))
end

-- How many the breaker lets through, and in how many milliseconds it may let more: queues in other partitions do not hear when it is closed, so they look
-- again every second.
local function through(want, open)
  if open == 0 then
    return want, 0
  elseif t < open then
    return 0, math.min(open - t, 1000)
  end
  return math.min(want, 1), 0
end

if limit > 0 then
  read_rate()
end
give_back()
local open, failing = 0, 0
if breaker.threshold > 0 then
  open, failing = judge(breaker, results, t)
end
local wanted, wait = through(in_flight(tonumber(ARGV[2])), open)
local taken, date = wanted, 0
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
if open > 0 and taken > 0 then
  begin_probe(breaker, ARGV[4] .. ' 1', int(t + tonumber(ARGV[3])))
end
return { taken, wait, int(date), int(failing) }
