-- skep-lua check: what can be said about a script without running it: syntax, globals that are none, functions the
-- library does not have.
--
-- The names a script uses stand in its bytecode, with lines; this reads Lua 5.4's format [lundump.c].
local types = ... -- the text of lua/types/broker.lua

local GLOBALS = {}
for name in ([[_G _VERSION assert error getmetatable ipairs math next pairs pcall print rawequal rawget rawlen rawset
  require select setmetatable string table tonumber tostring type utf8]]):gmatch("%S+") do
  GLOBALS[name] = true
end
local NOT_HERE = {}
for name in ("io os debug load loadstring loadfile dofile coroutine collectgarbage package"):gmatch("%S+") do
  NOT_HERE[name] = true
end

-- -- The library, from its types --

local known = { broker = {} } -- table -> set of its fields

local function learn()
  for line in types:gmatch("[^\n]+") do
    local path, name = line:match("^function (broker[%w_.]*)%.([%w_]+)%(")
    if path then
      known[path] = known[path] or {}
      known[path][name] = true
    end
    local class = line:match("^%-%-%-@class (broker%.[%w_]+)")
    if class then
      known.broker[class:match("%.(.*)")] = true
      known[class] = known[class] or {}
    end
    local field = line:match("^%-%-%-@field (null) ")
    if field then known["broker.json"][field] = true end
  end
end
learn()

-- -- Reading bytecode --

local Reader = {}
Reader.__index = Reader

function Reader:byte()
  self.at = self.at + 1
  return self.bytes:byte(self.at - 1)
end

function Reader:size()
  local n = 0
  while true do
    local b = self:byte()
    n = n << 7 | (b & 0x7f)
    if b & 0x80 ~= 0 then return n end
  end
end

function Reader:text()
  local len = self:size()
  if len == 0 then return nil end
  self.at = self.at + len - 1
  return self.bytes:sub(self.at - len + 1, self.at - 1)
end

function Reader:constant()
  local tag = self:byte()
  if tag == 0x04 or tag == 0x14 then return self:text() end
  if tag == 0x03 or tag == 0x13 then self.at = self.at + 8 end
  return false
end

function Reader:list(read)
  local list = {}
  for i = 1, self:size() do list[i] = read(self, i) end
  return list
end

function Reader:proto()
  local p = {}
  self:text()
  p.first_line = self:size()
  self:size()
  p.params = self:byte()
  self:byte()
  self:byte()
  p.code = self:list(function()
    local word = ("<I4"):unpack(self.bytes, self.at)
    self.at = self.at + 4
    return word
  end)
  p.constants = self:list(self.constant)
  p.upvalues = self:list(function() return { self:byte(), self:byte(), self:byte() } end)
  p.protos = self:list(self.proto)
  p.lines = self:list(function() return ("i1"):unpack(string.char(self:byte())) end)
  p.whole_lines = {}
  for _ = 1, self:size() do
    local pc = self:size()
    p.whole_lines[pc] = self:size()
  end
  p.locals = self:list(function() return { name = self:text(), from = self:size(), to = self:size() } end)
  p.upvalue_names = self:list(self.text)
  return p
end

-- -- Looking at a function --

local OP = { MOVE = 0, GETUPVAL = 9, GETTABUP = 11, GETFIELD = 14, SETTABUP = 15, SELF = 20 }

local function line_table(p)
  local line, lines = p.first_line, {}
  for pc, delta in ipairs(p.lines) do
    line = p.whole_lines[pc - 1] or line + delta
    lines[pc] = line
  end
  return lines
end

local function local_name(p, register, pc)
  local n = -1
  for _, v in ipairs(p.locals) do
    if v.from <= pc and pc < v.to then
      n = n + 1
      if n == register then return v.name end
    end
  end
end

local tables_of = { broker = "broker", json = "broker.json", bytes = "broker.bytes" }

local function inspect(p, complain)
  local lines, holds = line_table(p), {} -- register -> path of a library table

  local function field(path, name, pc)
    if known[path] and name and not known[path][name] then
      complain(lines[pc], ("%s has no '%s'"):format(path, name))
    end
    return known[path .. "." .. tostring(name)] and path .. "." .. name or nil
  end

  for pc, word in ipairs(p.code) do
    local op, a, b, c = word & 0x7f, word >> 7 & 0xff, word >> 16 & 0xff, word >> 24 & 0xff
    local now
    if op == OP.GETTABUP then
      local upvalue, name = p.upvalue_names[b + 1], p.constants[c + 1]
      if upvalue == "_ENV" and name then
        if NOT_HERE[name] then
          complain(lines[pc], ("'%s' is not available in scripts"):format(name))
        elseif not GLOBALS[name] then
          complain(lines[pc], ("'%s' is neither a local variable nor a global one"):format(name))
        end
      elseif tables_of[upvalue] then
        now = field(tables_of[upvalue], name, pc)
      end
    elseif op == OP.SETTABUP and p.upvalue_names[a + 1] == "_ENV" then
      complain(lines[pc], ("'%s' becomes a global variable; write 'local'"):format(p.constants[b + 1]))
    elseif op == OP.GETUPVAL then
      now = tables_of[p.upvalue_names[b + 1]]
    elseif op == OP.MOVE then
      now = holds[b]
    elseif op == OP.GETFIELD then
      local path = holds[b] or tables_of[local_name(p, b, pc)]
      if path then now = field(path, p.constants[c + 1], pc) end
    end
    holds[a] = now
  end
  for _, child in ipairs(p.protos) do inspect(child, complain) end
end

-- Returns a list of "path:line: text", in order.
return function(path, source)
  local chunk, why = load(source, "@" .. path, "t")
  if not chunk then return { why } end
  local found, seen = {}, {}
  local reader = setmetatable({ bytes = string.dump(chunk), at = 33 }, Reader)
  inspect(reader:proto(), function(line, text)
    local whole = ("%s:%d: %s"):format(path, line, text)
    if not seen[whole] then found[#found + 1] = { line, whole } end
    seen[whole] = true
  end)
  table.sort(found, function(x, y) return x[1] < y[1] end)
  for i, f in ipairs(found) do found[i] = f[2] end
  return found
end
