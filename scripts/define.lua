--[[
Creates, replaces or deletes one definition. It is in force when its version has been announced in every partition.

KEYS
  1 meta       hash    the deployment: holds the version of the definitions, and of the newest deletion that is not listed any more
  2 documents  hash    id to document
  3 names      hash    name to id
  4 versions   zset    id to version of its last change
  5 ids        zset    ids, for listing them in order
  6 deleted    zset    id to version of its deletion, of the last 10,000
  7 notices    hash    version to event that tells of the change

ARGV
  1 id
  2 expected   version that must be the present one; "0": it must not exist; "any"
  3 name       new name; empty: delete
  4 document
  5 notice     event that tells of the change; empty: none does

RETURNS  {"stored", version} | {"missing"} | {"changed", version} | {"taken"}
]]
local id, expected, name = ARGV[1], ARGV[2], ARGV[3]
local old = redis.call('HGET', KEYS[2], id)
local version = redis.call('ZSCORE', KEYS[4], id)
version = version and int(tonumber(version)) or '0'

if not old and expected ~= '0' then
  return { 'missing' }
end
if old and expected ~= 'any' and expected ~= version then
  return { 'changed', version }
end
if name ~= '' then
  local holder = redis.call('HGET', KEYS[3], name)
  if holder and holder ~= id then
    return { 'taken' }
  end
end

local new = int(redis.call('HINCRBY', KEYS[1], 'version', 1))
if old then
  redis.call('HDEL', KEYS[3], string.match(old, '^([^\n]*)\n'))
end
if name == '' then
  redis.call('HDEL', KEYS[2], id)
  redis.call('ZREM', KEYS[4], id)
  redis.call('ZREM', KEYS[5], id)
  redis.call('ZADD', KEYS[6], new, id)
  if redis.call('ZCARD', KEYS[6]) > 10000 then
    redis.call('HSET', KEYS[1], 'forgotten', int(tonumber(redis.call('ZPOPMIN', KEYS[6])[2])))
  end
else
  redis.call('HSET', KEYS[2], id, name .. '\n' .. ARGV[4])
  redis.call('HSET', KEYS[3], name, id)
  redis.call('ZADD', KEYS[4], new, id)
  redis.call('ZADD', KEYS[5], 0, id)
end
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[7], new, ARGV[5])
end
return { 'stored', new }
