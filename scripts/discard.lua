--[[
Removes dead letters.

KEYS
  1 copies    hash  events kept beyond the log
  2 holds     hash  who keeps them
  3 dead      hash  dead letters
  4 dead_at   zset  when they were made
  5 progress  hash  of the operation, in this partition

ARGV
  1 cursor    how far the operation is in this partition, "" to leave it
  2 ttl       milliseconds for which the progress is kept
  3… letters  their names

RETURNS  how many were removed
]]
local removed = 0
for i = 3, #ARGV do
  local name = ARGV[i]
  if redis.call('HDEL', KEYS[3], name) == 1 then
    redis.call('ZREM', KEYS[4], name)
    release(KEYS[1], KEYS[2], id_of(name), 'dead ' .. name)
    removed = removed + 1
  end
end
note_progress(KEYS[5], ARGV[1], 'purged', removed, ARGV[2])
return removed
