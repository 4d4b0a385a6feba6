-- The functions that the headers of the SDK declare, sorted, a line each: sdk/symbols.txt.
-- Those of test.h are the harness's own (libskeptest), not the broker's.
--
--     lua5.4 sdk/symbols.lua            prints them
--     lua5.4 sdk/symbols.lua --write    writes sdk/symbols.txt
local root = arg[0]:match("^(.*)/sdk/[^/]*$") or "."
local names = {}
for path in io.popen(("ls '%s'/sdk/include/skep/*.h"):format(root)):lines() do
  if not path:match("/test%.h$") then
    local text = io.open(path):read("a"):gsub("/%*.-%*/", ""):gsub("#[^\n]*\n", "\n")
    for declaration in text:gmatch("SKEP_EXPORT%s+([^;{]*)") do
      local name = declaration:match("([%w_]+)%s*%(")
      if name then names[#names + 1] = name end
    end
  end
end
table.sort(names)
local out = table.concat(names, "\n") .. "\n"
if arg[1] == "--write" then
  local file = assert(io.open(root .. "/sdk/symbols.txt", "w"))
  file:write(out)
  file:close()
else
  io.write(out)
end
