-- Every relative link of the documentation leads to a file of the tree.
--
--     lua5.4 tests/tree/links.lua
local root = arg[0]:match("^(.*)/tests/tree/[^/]*$") or "."
local broken, checked = 0, 0

local function exists(path)
  local f = io.open(path)
  if f then f:close() end
  return f ~= nil
end

local list = assert(io.popen(("cd '%s' && find . -name '*.md' -not -path './build/*'"):format(root)))
for path in list:lines() do
  local folder, number = path:match("^(.*/)"), 0
  for line in io.lines(root .. "/" .. path) do
    number = number + 1
    for target in line:gmatch("%]%(([^)%s]+)%)") do
      local file = target:gsub("#.*$", "")
      if not target:find("^%a+:") and file ~= "" then
        checked = checked + 1
        if not exists(root .. "/" .. folder .. file) then
          print(("%s:%d: there is no %s"):format(path, number, file))
          broken = broken + 1
        end
      end
    end
  end
end
assert(checked > 5, "hardly a link was found; is this the tree?")
print(("%d links, %d broken"):format(checked, broken))
os.exit(broken == 0)
