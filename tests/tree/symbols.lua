-- What skep exports is what the headers of the SDK declare, and sdk/symbols.txt says the same.
-- Usage: lua5.4 tests/tree/symbols.lua ROOT SKEP
local root, skep = arg[1], arg[2]

local function lines(command)
  local set, count = {}, 0
  local pipe = assert(io.popen(command))
  for line in pipe:lines() do
    set[line], count = true, count + 1
  end
  assert(pipe:close() and count > 0, command .. " says nothing")
  return set, count
end

local listed, count = lines(("cat '%s/sdk/symbols.txt'"):format(root))
local declared = lines(("lua5.4 '%s/sdk/symbols.lua'"):format(root))
-- Symbols with a version are another library's, copied into the program.  A sanitizer's runtime and
-- the profiler's bring names of their own, all with two underscores.
local exported = lines(("nm -D --defined-only '%s' | awk '$3 !~ /@/ { print $3 }' | grep -v '^__'"):format(skep))

local bad = 0
local function compare(a, b, text)
  for name in pairs(a) do
    if not b[name] then
      print(text:format(name))
      bad = bad + 1
    end
  end
end
compare(declared, listed, "%s: declared in sdk/include, not in sdk/symbols.txt (lua5.4 sdk/symbols.lua --write)")
compare(listed, declared, "%s: in sdk/symbols.txt, not declared in sdk/include")
compare(listed, exported, "%s: in sdk/symbols.txt, not exported by skep")
compare(exported, listed, "%s: exported by skep, not in sdk/symbols.txt")
print(("symbols: %d listed, %d wrong"):format(count, bad))
os.exit(bad == 0)
