-- The scripts run inside Redis (Lua 5.1), each with scripts/common.lua in front of it: see scripts/scripts.go.
std = "lua51"
max_line_length = 160
read_globals = { "redis", "KEYS", "ARGV" }

-- What common.lua defines is a global to the others, and unused in itself.
local shared = {}
for line in io.lines("scripts/common.lua") do
  shared[#shared + 1] = line:match("^local function ([%w_]+)")
end
files["scripts/*.lua"] = { read_globals = shared }
files["scripts/common.lua"] = { ignore = { "211" } }
