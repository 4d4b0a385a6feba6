-- The includes of server/ point down only, as server/LAYERS allows.
-- Usage: lua5.4 tests/tree/layers.lua [ROOT]
local root = arg[1] or "."
local allowed = {}
for line in io.lines(root .. "/server/LAYERS") do
  local layer, below = line:match("^(%w+):%s*(.*)")
  if layer then
    allowed[layer] = { [layer] = true }
    for name in below:gmatch("%w+") do allowed[layer][name] = true end
  end
end

local programs = { ["main.c"] = "main", ["skepctl.c"] = "ctl" }
local bad, seen = 0, 0
for path in io.popen(("find '%s/server' -name '*.[ch]' | sort"):format(root)):lines() do
  local short = path:sub(#root + 2)
  local layer = short:match("^server/(%w+)/") or programs[short:match("[^/]+$")]
  local number, including = 0, true
  seen = seen + 1
  if not allowed[layer] then
    print(("%s: a file of no layer in server/LAYERS"):format(short))
    bad, including = bad + 1, false
  end
  for line in io.lines(path) do
    number = number + 1
    local other = including and line:match('^%s*#%s*include%s*"([^/"]+)/')
    if other and not allowed[layer][other] then
      print(("%s:%d: %s may not include %s/"):format(short, number, layer, other))
      bad = bad + 1
    elseif including and line:match('^%s*#%s*include%s*"%.%./') then
      print(("%s:%d: includes are written from server/, without .."):format(short, number))
      bad = bad + 1
    end
  end
end
print(("layers: %d files, %d arrows up"):format(seen, bad))
os.exit(bad == 0 and seen > 0)
