-- The public headers: each compiles alone, in C11 and in C++17, without a warning; together they
-- stay short; each exported function says what it does; nothing but <skep/...> and the C
-- standard library is included.
--
--     lua5.4 tests/tree/headers.lua [ROOT]
local root = arg[1] or "."
package.path = root .. "/docs/sdk/?.lua;" .. package.path
local headers = require "headers"

local LINES_MOST = 1499
local standard = { "assert", "ctype", "errno", "inttypes", "limits", "setjmp", "stdarg", "stdbool", "stddef", "stdint",
  "stdio", "stdlib", "string" }
local compilers = { "gcc -std=c11 -x c", "clang -std=c11 -x c", "g++ -std=c++17 -x c++", "clang++ -std=c++17 -x c++" }

local bad = 0
local function complain(header, line, text, ...)
  print(("%s:%d: " .. text):format(header.path:sub(#root + 2), line, ...))
  bad = bad + 1
end

local function is_allowed(path)
  if path:find "^skep/[a-z]+%.h$" then return true end
  for _, name in ipairs(standard) do
    if path == name .. ".h" then return true end
  end
end

local function check_includes(header)
  local number = 0
  for line in header.text:gmatch "(.-)\n" do
    number = number + 1
    local path = line:match "^%s*#%s*include%s*(.*)$"
    if path and not is_allowed(path:match "^<(.-)>$" or "") then
      complain(header, number, "includes %s: only <skep/...> and the C standard library may be", path)
    end
  end
end

local function check_comments(header)
  local count = 0
  for _, item in ipairs(header.items) do
    if item.export then
      count = count + 1
      if not item.comment then complain(header, item.line, "%s() has no comment", item.export) end
    end
  end
  return count
end

local function check_alone(header)
  for _, compiler in ipairs(compilers) do
    local command = ("echo '#include <skep/%s.h>' | %s -Wall -Wextra -Werror -pedantic -I '%s/sdk/include' -fsyntax-only - 2>&1")
      :format(header.name, compiler, root)
    local pipe = assert(io.popen(command))
    local output = pipe:read "a"
    if not pipe:close() then complain(header, 1, "does not compile alone with %s:\n%s", compiler, output) end
  end
end

local lines, functions, seen = 0, 0, {}
for _, header in ipairs(headers.all(root)) do
  seen[header.name] = true
  lines = lines + header.lines
  check_includes(header)
  functions = functions + check_comments(header)
  check_alone(header)
end
for path in io.popen(("ls '%s/sdk/include/skep'"):format(root)):lines() do
  if not seen[path:match "^(.*)%.h$" or path] then
    print(("sdk/include/skep/%s: unknown to docs/sdk/headers.lua, so in no reference and no test"):format(path))
    bad = bad + 1
  end
end
if lines > LINES_MOST then
  print(("sdk/include/skep: %d lines in all; at most %d"):format(lines, LINES_MOST))
  bad = bad + 1
end
print(("headers: %d lines, %d functions, %d complaints"):format(lines, functions, bad))
os.exit(bad == 0 and functions > 150)
