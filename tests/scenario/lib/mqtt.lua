-- Packets to bytes and back, for MQTT 3.1 (version 3), 3.1.1 (4) and 5.0 (5).
--
-- A packet is a table: { "PUBLISH", topic = "a", payload = "x", qos = 1, id = 7, properties = {} }.
-- The encoder sends what it is told, wrong or right; these fields of any packet break the rules:
--   flags  = header flags instead of the prescribed ones
--   body   = everything after the fixed header, in place of the fields
--   tail   = bytes appended to the body
--   length = remaining length to announce (number), or its very bytes (string)
-- The decoder is strict, since what it reads was written by the broker under test.
local props = require "props"
local wire = require "wire"

local mqtt = {}

local names = { "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
  "SUBSCRIBE",
  "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH" }
local numbers = {}
for i, name in ipairs(names) do numbers[name] = i end

local default_flags = { PUBREL = 2, SUBSCRIBE = 2, UNSUBSCRIBE = 2 }

local function set(text)
  local out = {}
  for code in text:gmatch("%x+") do out[tonumber(code, 16)] = true end
  return out
end

-- Reason codes a server may send, by packet [MQTT 2.4].
mqtt.codes = {
  CONNACK = set "00 80 81 82 83 84 85 86 87 88 89 8A 8C 90 95 97 99 9A 9B 9C 9D 9F",
  PUBACK = set "00 10 80 83 87 90 91 97 99",
  PUBREC = set "00 10 80 83 87 90 91 97 99",
  PUBREL = set "00 92",
  PUBCOMP = set "00 92",
  SUBACK = set "00 01 02 80 83 87 8F 91 97 9E A1 A2",
  UNSUBACK = set "00 11 80 83 87 8F 91",
  DISCONNECT = set "00 80 81 82 83 87 89 8B 8D 8E 8F 90 93 94 95 96 97 98 99 9A 9B 9C 9D 9E 9F A0 A1 A2",
  AUTH = set "00 18",
}

local function properties(p, version)
  if version < 5 then return "" end
  local section = props.encode(p or {})
  return wire.varint(#section) .. section
end

local write = {}

function write.CONNECT(p, v)
  local will = p.will
  local flags = (p.clean_start ~= false and 2 or 0)
    | (will and (4 | (will.qos or 0) << 3 | (will.retain and 32 or 0)) or 0)
    | (p.password and 64 or 0) | (p.username and 128 or 0)
  local payload = wire.str(p.id or "")
  if will then
    payload = payload .. properties(will.properties, v) .. wire.str(will.topic)
      .. wire.str(will.payload or "")
  end
  payload = payload .. (p.username and wire.str(p.username) or "")
    .. (p.password and wire.str(p.password) or "")
  return wire.str(p.protocol or (v == 3 and "MQIsdp" or "MQTT")) .. string.char(p.level or v)
    .. string.char(p.connect_flags or flags) .. wire.u16(p.keep_alive or 0)
    .. properties(p.properties, v) .. (p.fields or payload)
end

function write.PUBLISH(p, v)
  local id = ((p.qos or 0) > 0 or p.id) and wire.u16(p.id) or ""
  return wire.str(p.topic or "") .. id .. properties(p.properties, v) .. (p.payload or ""),
    (p.dup and 8 or 0) | (p.qos or 0) << 1 | (p.retain and 1 or 0)
end

local function write_ack(p, v)
  local out = wire.u16(p.id)
  if v == 5 and (p.reason or p.properties) then
    out = out .. string.char(p.reason or 0)
    if p.properties then out = out .. properties(p.properties, v) end
  end
  return out
end
write.PUBACK, write.PUBREC, write.PUBREL, write.PUBCOMP = write_ack, write_ack, write_ack, write_ack

-- Filters: { "a/b", 1 } or { "a/b", qos = 1, no_local = true, retain_as_published = true,
-- retain_handling = 2 } or { "a/b", options = byte }.
local function options_byte(f)
  return f.options or (f.qos or f[2] or 0) | (f.no_local and 4 or 0)
    | (f.retain_as_published and 8 or 0) | (f.retain_handling or 0) << 4
end

function write.SUBSCRIBE(p, v)
  local out = wire.u16(p.id) .. properties(p.properties, v)
  for _, f in ipairs(p.filters or {}) do
    out = out .. wire.str(f[1]) .. string.char(options_byte(f))
  end
  return out
end

function write.UNSUBSCRIBE(p, v)
  local out = wire.u16(p.id) .. properties(p.properties, v)
  for _, f in ipairs(p.filters or {}) do out = out .. wire.str(f) end
  return out
end

local function write_reason(p, v)
  if v < 5 or not (p.reason or p.properties) then return "" end
  return string.char(p.reason or 0) .. (p.properties and properties(p.properties, v) or "")
end
write.DISCONNECT, write.AUTH = write_reason, write_reason

function mqtt.encode(p, version)
  local body, flags = p.body, nil
  if not body then
    local writer = write[p[1]]
    if writer then body, flags = writer(p, version) end
    body = body or ""
  end
  body = body .. (p.tail or "")
  local length = p.length or #body
  if type(length) == "number" then length = wire.varint(length) end
  flags = p.flags or flags or default_flags[p[1]] or 0
  return string.char(numbers[p[1]] << 4 | flags) .. length .. body
end

-- The header of the first packet in a buffer: its whole size, or nil while that is not known.
function mqtt.size(bytes)
  local value, shift = 0, 0
  for i = 2, 5 do
    local byte = bytes:byte(i)
    if not byte then return nil end
    value = value | (byte & 0x7f) << shift
    if byte < 0x80 then return i + value end
    shift = shift + 7
  end
  error("remaining length of more than four bytes", 0)
end

local read = {}

local function check_code(packet, code)
  if not mqtt.codes[packet][code] then
    error(("%s with reason 0x%02X, which a server does not send"):format(packet, code), 0)
  end
  return code
end

function read.CONNACK(p, r, v)
  local flags = r:u8()
  if flags > 1 or (v == 3 and flags ~= 0) then error("CONNACK with reserved flags", 0) end
  p.session_present = flags == 1
  p.reason = r:u8()
  if v == 5 then
    check_code("CONNACK", p.reason)
    p.properties = props.decode(r, "CONNACK")
  elseif p.reason > 5 then
    error("CONNACK return code above 5", 0)
  end
  if p.reason ~= 0 and p.session_present then error("refused with session present", 0) end
end

function read.PUBLISH(p, r, v)
  p.dup, p.qos, p.retain = p.flags & 8 ~= 0, p.flags >> 1 & 3, p.flags & 1 ~= 0
  if p.qos == 3 then error("PUBLISH with QoS 3", 0) end
  if p.qos == 0 and p.dup then error("PUBLISH with QoS 0 and DUP", 0) end
  p.topic = r:str()
  if p.topic:find("[+#]") then error("PUBLISH to a topic with wildcards", 0) end
  if p.qos > 0 then
    p.id = r:u16()
    if p.id == 0 then error("PUBLISH with packet id 0", 0) end
  end
  if v == 5 then p.properties = props.decode(r, "PUBLISH") end
  p.payload = r:rest()
end

local function read_ack(p, r, v)
  p.id = r:u16()
  p.reason = 0
  if v == 5 then
    p.properties = {}
    if r:left() > 0 then p.reason = check_code(p[1], r:u8()) end
    if r:left() > 0 then p.properties = props.decode(r, p[1]) end
  end
end
read.PUBACK, read.PUBREC, read.PUBREL, read.PUBCOMP = read_ack, read_ack, read_ack, read_ack

function read.SUBACK(p, r, v)
  p.id = r:u16()
  if v == 5 then p.properties = props.decode(r, "SUBACK") end
  p.codes = { r:rest():byte(1, -1) }
  for _, code in ipairs(p.codes) do
    if v == 5 then
      check_code("SUBACK", code)
    elseif code > 2 and not (v == 4 and code == 0x80) then
      error(("SUBACK code 0x%02X"):format(code), 0)
    end
  end
end

function read.UNSUBACK(p, r, v)
  p.id = r:u16()
  if v < 5 then return end
  p.properties = props.decode(r, "UNSUBACK")
  p.codes = { r:rest():byte(1, -1) }
  for _, code in ipairs(p.codes) do check_code("UNSUBACK", code) end
end

function read.PINGRESP() end

local function read_reason(p, r, v)
  if v < 5 then error(p[1] .. " from a server of version " .. v, 0) end
  p.reason, p.properties = 0, {}
  if r:left() > 0 then p.reason = check_code(p[1], r:u8()) end
  if r:left() > 0 then p.properties = props.decode(r, p[1]) end
end
read.DISCONNECT, read.AUTH = read_reason, read_reason

local function decode(bytes, version)
  local first = bytes:byte()
  local p = { names[first >> 4] or "type 0", flags = first & 15, bytes = bytes }
  local r = wire.reader(bytes)
  r:u8()
  if r:varint() ~= r:left() then error("length does not fit", 0) end
  local reader = read[p[1]] or error(p[1] .. " from a server", 0)
  if p[1] ~= "PUBLISH" and p.flags ~= (default_flags[p[1]] or 0) then
    error(("%s with header flags %d"):format(p[1], p.flags), 0)
  end
  reader(p, r, version)
  if r:left() > 0 then error(("%d bytes too many in %s"):format(r:left(), p[1]), 0) end
  return p
end

-- One whole packet from a server, or nil and what is wrong with it.
function mqtt.decode(bytes, version)
  local ok, result = pcall(decode, bytes, version)
  if ok then return result end
  return nil, result
end

return mqtt
