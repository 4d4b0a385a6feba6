-- Makes docs/lua/reference.md from lua/types/broker.lua, which is also what editors read.
--
--     lua5.4 docs/lua/reference.lua           writes it
--     lua5.4 docs/lua/reference.lua --check   says whether it is up to date
local SOURCE, TARGET = "lua/types/broker.lua", "docs/lua/reference.md"

local function read(path)
  local f = assert(io.open(path))
  local text = f:read("a")
  f:close()
  return text
end

local out = {
  "# What scripts can use",
  "",
  "Made from `lua/types/broker.lua` by `docs/lua/reference.lua`; do not edit. `require \"broker\"` gives the table `broker`.",
  "",
}
local function put(...) out[#out + 1] = table.concat { ... } end

local text, params, returns, fields = {}, {}, {}, {}
local class

local function clear()
  text, params, returns, fields = {}, {}, {}, {}
  class = nil
end

local function flush_text()
  for _, line in ipairs(text) do put(line) end
  if #text > 0 then put "" end
end

local function put_function(signature)
  put("### `", signature, "`")
  put ""
  flush_text()
  for _, p in ipairs(params) do
    local name, rest = p:match("^(%S+)%s+(.*)$")
    put("- `", name, "`: ", rest)
  end
  for _, r in ipairs(returns) do put("- returns ", r) end
  if #params + #returns > 0 then put "" end
  clear()
end

-- An object with fields: a section of its own.  Tables of functions (broker.kv) have none.
local function put_class()
  if not class or #fields == 0 then return clear() end
  put("### `", class, "`")
  put ""
  flush_text()
  for _, f in ipairs(fields) do
    local name, rest = f:match("^(%S+)%s+(.*)$")
    put("- `", name, "`: ", rest)
  end
  put ""
  clear()
end

for line in read(SOURCE):gmatch("([^\n]*)\n") do
  local heading = line:match("^%-%-%- # (.*)")
  local tag, rest = line:match("^%-%-%-@(%w+)%s*(.*)")
  local comment = line:match("^%-%-%- ?(.*)")
  local signature = line:match("^function (.*) end$")
  if heading then
    put("## ", heading)
    put ""
  elseif tag == "class" then
    class = rest
  elseif tag == "field" then
    fields[#fields + 1] = rest
  elseif tag == "param" then
    params[#params + 1] = rest
  elseif tag == "return" then
    returns[#returns + 1] = rest
  elseif tag then
    -- aliases and the like are for editors
  elseif signature then
    put_function(signature)
  elseif comment then
    text[#text + 1] = comment
  elseif line == "" then
    if class then
      put_class()
    else
      flush_text()
      clear()
    end
  elseif line:match("^local ") or line:match("^broker%.") then
    if class then put_class() end
  end
end

local made = table.concat(out, "\n"):gsub("\n\n\n+", "\n\n"):gsub("\n+$", "") .. "\n"
if arg[1] == "--check" then
  local ok, there = pcall(read, TARGET)
  if not ok or there ~= made then
    io.stderr:write(TARGET .. " is out of date: lua5.4 docs/lua/reference.lua\n")
    os.exit(1)
  end
else
  local f = assert(io.open(TARGET, "w"))
  f:write(made)
  f:close()
end
