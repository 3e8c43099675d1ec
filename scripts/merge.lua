--[[
Applies the first entries of a partition's inbox, in the order in which partials meet events: offers them to triggers and takes them out. Without entries it
settles deadlines. The comparison of the inbox's cursor and the token is dedupe and fence: either all of the batch is applied, once, or nothing of it.

KEYS
  1 state     hash    the partition's state
  2 log       stream  the partition's log
  3 copies    hash    events kept beyond the log
  4 holds     hash    who keeps them
  5 dead      hash    dead letters
  6 dead_at   zset    when they were made
  7 triggers  zset    trigger and generation to when to look at its partials
  8… inbox    list    those of which something is taken
  … triggers          two for each trigger: partials zset, counters hash
  … partials  hash or string  one for each partial

ARGV
  1 from         how far the inbox is applied: partition and stream ID
  2 from_target
  3 token        of the definitions that the batch was made under
  4 to           the same after the batch
  5 to_target
  6 before       deadlines before this time are settled, in milliseconds, where nothing is taken
  7 looped       record of the dead letter that a firing becomes which was derived too often
  8 lists        number of lists; then for each: how many entries are taken, what the last of them begins with
  … triggers     as apply has them, and all that follows on them there up to the offers
  … lost         for each event that can't be applied: record, the event

RETURNS  {"fenced"} (the inbox is applied to somewhere else, or does not hold the batch: what was read may have been lost in a failover) | {"stale"} |
         {"unusable", "trigger" | "partial", number} | {"heavy", how many of the offers one call can make} | {"applied", number of firings,
         the last ID given out before them, number of entries that they are in or, where these are large, 0, for each: its ID, the entry}
]]
local state, log, schedule = KEYS[1], KEYS[2], KEYS[7]
local s = redis.call('HMGET', state, 'merged', 'merged_target', 'token', 'floor', 'seq', 'size', 'stored', 'settled', 'loops')
if (s[1] or '') ~= ARGV[1] or (s[2] or '') ~= ARGV[2] then
  return { 'fenced' }
end
if (s[3] or '') ~= ARGV[3] then
  return { 'stale' }
end

local lists, arg = {}, 9
for i = 1, tonumber(ARGV[8]) do
  local list = { key = KEYS[7 + i], count = tonumber(ARGV[arg]) }
  local last = redis.call('LINDEX', list.key, list.count - 1) or ''
  if string.sub(last, 1, #ARGV[arg + 1]) ~= ARGV[arg + 1] then
    return { 'fenced' }
  end
  lists[i], arg = list, arg + 2
end

local plan, told, work = {}, {}
work, arg = read_work(arg, 8 + #lists)
local known = { floor = tonumber(s[4] or 0), seq = tonumber(s[5] or 0), size = tonumber(s[6] or 0), stored = tonumber(s[7] or 0), settled = tonumber(s[8] or 0) }
local letters, made = { copies = KEYS[3], holds = KEYS[4], dead = KEYS[5], dead_at = KEYS[6] }, tonumber(s[9] or 0)
if work then
  local refused = join(work, schedule, tonumber(ARGV[6]))
  if refused then
    return refused
  end
  told = plan_log(plan, log, state, work.firings, known)
  plan_loops(plan, letters, state, work.loops, ARGV[7], made)
  made = made + #work.loops
  plan_work(plan, work, schedule)
end
for i = arg, #ARGV, 2 do
  plan_loops(plan, letters, state, { { ARGV[i + 1] } }, ARGV[i], made)
  made = made + 1
end

for _, command in ipairs(plan) do
  redis.call(unpack(command))
end
for _, list in ipairs(lists) do
  redis.call('LTRIM', list.key, list.count, -1)
end
if work and #lists == 0 then
  reschedule_triggers(work, schedule)
end
redis.call('HSET', state, 'merged', ARGV[4], 'merged_target', ARGV[5])
return { 'applied', work and #work.firings or 0, (s[4] or '0') .. '-' .. (s[5] or '0'), #told / 2, told }
