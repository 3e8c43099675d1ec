--[[
Reads which definitions have changed since a version, all of one moment. (A transaction would do as well, but Redis refuses to queue one when memory is full.)

KEYS
  1 versions  zset  id to version of its last change
  2 deleted   zset  id to version of its deletion
  3 meta      hash  the deployment: holds the version of the newest deletion that is not listed any more

ARGV
  1 since     version
  2 page      how many at most, of changes and of deletions

RETURNS  {that version or "0", then for changes and for deletions: how many, for each: id and version}
]]
local result = { redis.call('HGET', KEYS[3], 'forgotten') or '0' }
for i = 1, 2 do
  local found = redis.call('ZRANGEBYSCORE', KEYS[i], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
  result[#result + 1] = #found / 2
  for j = 1, #found, 2 do
    result[#result + 1], result[#result + 2] = found[j], int(tonumber(found[j + 1]))
  end
end
return result
