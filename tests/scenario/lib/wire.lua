-- Bytes: MQTT's primitive encodings, a strict reader, UTF-8 by the book, and dumps for people.
local wire = {}

function wire.u16(n) return string.pack(">I2", n) end
function wire.u32(n) return string.pack(">I4", n) end
function wire.str(s) return string.pack(">s2", s) end

function wire.varint(n)
  local out = {}
  repeat
    local byte = n % 128
    n = n // 128
    if n > 0 then byte = byte | 0x80 end
    out[#out + 1] = string.char(byte)
  until n == 0
  return table.concat(out)
end

-- A reader raises a string on short or ill-formed input; the decoder catches it.
local reader = {}
reader.__index = reader

function wire.reader(bytes) return setmetatable({ bytes = bytes, at = 1 }, reader) end
function reader:left() return #self.bytes - self.at + 1 end

function reader:take(n)
  if self:left() < n then error("packet too short", 0) end
  local s = self.bytes:sub(self.at, self.at + n - 1)
  self.at = self.at + n
  return s
end

function reader:rest() return self:take(self:left()) end
function reader:u8() return self:take(1):byte() end
function reader:u16() return (string.unpack(">I2", self:take(2))) end
function reader:u32() return (string.unpack(">I4", self:take(4))) end
function reader:bin() return self:take(self:u16()) end

function reader:str()
  local s = self:bin()
  if not wire.is_utf8(s) then error("a string that is not UTF-8", 0) end
  return s
end

function reader:varint()
  local value, shift = 0, 0
  for i = 1, 4 do
    local byte = self:u8()
    value = value | (byte & 0x7f) << shift
    if byte < 0x80 then
      if i > 1 and byte == 0 then error("variable byte integer in more bytes than needed", 0) end
      return value
    end
    shift = shift + 7
  end
  error("variable byte integer of more than four bytes", 0)
end

-- Strict: no surrogates, nothing over-long, nothing above U+10FFFF (utf8.len's default), no NUL.
function wire.is_utf8(s)
  return utf8.len(s) ~= nil and not s:find("\0", 1, true)
end

function wire.hex(bytes, limit)
  limit = limit or 64
  local out = bytes:sub(1, limit):gsub(".", function(c) return ("%02x "):format(c:byte()) end)
  return #bytes > limit and out .. "... (" .. #bytes .. " bytes)" or out
end

-- A reason code, or several of them, in hexadecimal.
local show_code
function show_code(v)
  if math.type(v) == "integer" then return ("0x%02X"):format(v) end
  if type(v) ~= "table" then return tostring(v) end
  local parts = {}
  for i, one in ipairs(v) do parts[i] = show_code(one) end
  return table.concat(parts, " or ")
end

-- A value as one line of Lua, for messages.
function wire.show(v, depth)
  depth = depth or 0
  if type(v) == "string" then
    if #v > 80 then v = v:sub(1, 80) .. "...(" .. #v .. ")" end
    return '"' .. v:gsub('[%c"\\\x80-\xff]', function(c) return ("\\x%02x"):format(c:byte()) end)
      .. '"'
  end
  if type(v) ~= "table" or depth > 4 then return tostring(v) end
  local parts, keys = {}, {}
  for _, item in ipairs(v) do parts[#parts + 1] = wire.show(item, depth + 1) end
  for k in pairs(v) do
    if type(k) ~= "number" and k ~= "bytes" then keys[#keys + 1] = k end
  end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, k in ipairs(keys) do
    local shown = wire.show(v[k], depth + 1)
    if k == "reason" or k == "code" then shown = show_code(v[k]) end
    parts[#parts + 1] = tostring(k) .. "=" .. shown
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

return wire
