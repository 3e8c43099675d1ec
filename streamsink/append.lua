--[[
Appends the event of a delivery to a stream, once. It runs on whatever Redis a subscription's sink names.

KEYS
  1 stream  stream  where events are appended
  2 sent    zset    deliveries that were appended, with the time until which a repeat of them is known

ARGV
  1 delivery  its id
  2 event     the CloudEvent, as JSON
  3 maxlen    how many entries the stream keeps, about; "0": all
  4 repeats   for how many milliseconds a repeat of this delivery may come
  5 settled   for how many milliseconds one may come of a delivery whose reply has arrived
  6… done     deliveries whose replies have arrived

RETURNS  {"appended", id of the entry} | {"known"}
]]
-- Redis' clock, in milliseconds.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Prints an integer: tostring and .. would round one of 15 digits.
local function int(n)
  return string.format('%.0f', n)
end

local stream, sent, delivery = KEYS[1], KEYS[2], ARGV[1]
local time, repeats, settled = now(), tonumber(ARGV[4]), tonumber(ARGV[5])

local known = redis.call('ZSCORE', sent, delivery)
local keep = math.max(redis.call('PTTL', sent), repeats, settled)
local scores = { int(math.max(time + repeats, tonumber(known or 0))), delivery }
for i = 6, #ARGV do
  local score = redis.call('ZSCORE', sent, ARGV[i])
  if score and tonumber(score) > time + settled then
    scores[#scores + 1] = int(time + settled)
    scores[#scores + 1] = ARGV[i]
  end
end

local reply = { 'known' }
if not known then
  local entry
  if ARGV[3] == '0' then
    entry = redis.call('XADD', stream, '*', 'delivery', delivery, 'event', ARGV[2])
  else
    entry = redis.call('XADD', stream, 'MAXLEN', '~', ARGV[3], '*', 'delivery', delivery, 'event', ARGV[2])
  end
  reply = { 'appended', entry }
end
redis.call('ZADD', sent, unpack(scores))
redis.call('ZREMRANGEBYSCORE', sent, '-inf', '(' .. int(time))
redis.call('PEXPIRE', sent, int(keep))
return reply
