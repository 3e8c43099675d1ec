-- The scripts run inside Redis (Lua 5.1), each with some of the shared files in front of it: see scripts/scripts.go.
std = "lua51"
max_line_length = 200
read_globals = { "redis", "KEYS", "ARGV" }

-- What a shared file defines is a global to the others, and may be unused in itself.
local shared, names = { "common", "leasing", "partial", "condition", "firing", "shortcut", "join" }, {}
for _, file in ipairs(shared) do
  for line in io.lines("scripts/" .. file .. ".lua") do
    names[#names + 1] = line:match("^local function ([%w_]+)")
    for name in (line:match("^local ([%w_, ]+)") or ""):gmatch("[%w_]+") do
      names[#names + 1] = name
    end
  end
  files["scripts/" .. file .. ".lua"] = { ignore = { "211", "221", "231", "241" } }
end
for _, file in ipairs(shared) do
  files["scripts/" .. file .. ".lua"].read_globals = names
end
files["scripts/*.lua"] = { read_globals = names }
files["scripts/append.lua"] = { globals = { "ARGV" } } -- it completes its arguments
