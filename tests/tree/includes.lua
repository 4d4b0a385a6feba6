-- What is built on the SDK includes the SDK, its own folder, what such folders share (modules/lib_*),
-- and headers of the system and of libraries; nothing of server/.
-- Usage: lua5.4 tests/tree/includes.lua [ROOT]
local root = arg[1] or "."

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

local layers = {}
for line in io.lines(root .. "/server/LAYERS") do
  local name = line:match("^(%w+):")
  if name then layers[name] = true end
end

local bad, seen = 0, 0
local function complain(path, number, text)
  print(("%s:%d: %s"):format(path, number, text))
  bad = bad + 1
end

-- "a/b/../c" without the dots.
local function plain(path)
  local n
  repeat path, n = path:gsub("[^/]+/%.%./", "", 1) until n == 0
  return path
end

-- Includes are seen from the file's folder, and from modules/.
local function check(path, short, number, kind, what)
  local folder = path:match("^(.*)/")
  local own = short:match("^modules/[^/]+/") or short:match("^lua/engine/") or short:match("^plugins/[^/]+/")
  if kind == "<" then
    local first = what:match("^([^/]+)/")
    if first and layers[first] and not exists("/usr/include/" .. what) then
      complain(short, number, ("<%s> is a header of server/"):format(what))
    end
    return
  end
  for _, from in ipairs { folder, root .. "/modules" } do
    local found = plain(from .. "/" .. what)
    if exists(found) then
      local where = found:sub(#root + 2)
      if where:sub(1, #own) ~= own and not (own:match("^modules/") and where:match("^modules/lib_")) then
        complain(short, number, ('"%s" is neither of its own folder nor of a lib_*'):format(what))
      end
      return
    end
  end
  complain(short, number, ('"%s" is not there'):format(what))
end

local find = "find '%s/modules' '%s/plugins' '%s/lua/engine' -name '*.[ch]' 2>/dev/null | sort"
for path in io.popen(find:format(root, root, root)):lines() do
  local short, number = path:sub(#root + 2), 0
  seen = seen + 1
  for line in io.lines(path) do
    number = number + 1
    local kind, what = line:match('^%s*#%s*include%s*([<"])([^>"]+)[>"]')
    if kind then check(path, short, number, kind, what) end
  end
end
print(("includes: %d files, %d wrong"):format(seen, bad))
os.exit(bad == 0)
