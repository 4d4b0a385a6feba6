-- MQTT 5 properties: names, types, and the packets of a server in which each may stand [MQTT
-- 2.2.2].
local wire = require "wire"

local props = {}

-- id, name, type, packets a server may put it in
local list = {
  { 0x01, "payload_format", "u8", "PUBLISH" },
  { 0x02, "message_expiry", "u32", "PUBLISH" },
  { 0x03, "content_type", "str", "PUBLISH" },
  { 0x08, "response_topic", "str", "PUBLISH" },
  { 0x09, "correlation_data", "bin", "PUBLISH" },
  { 0x0B, "subscription_id", "varint", "PUBLISH", many = true },
  { 0x11, "session_expiry", "u32", "CONNACK" },
  { 0x12, "assigned_client_id", "str", "CONNACK" },
  { 0x13, "server_keep_alive", "u16", "CONNACK" },
  { 0x15, "auth_method", "str", "CONNACK AUTH" },
  { 0x16, "auth_data", "bin", "CONNACK AUTH" },
  { 0x17, "request_problem", "u8", "" },
  { 0x18, "will_delay", "u32", "" },
  { 0x19, "request_response", "u8", "" },
  { 0x1A, "response_information", "str", "CONNACK" },
  { 0x1C, "server_reference", "str", "CONNACK DISCONNECT" },
  { 0x1F, "reason_string", "str",
    "CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH" },
  { 0x21, "receive_maximum", "u16", "CONNACK" },
  { 0x22, "topic_alias_maximum", "u16", "CONNACK" },
  { 0x23, "topic_alias", "u16", "PUBLISH" },
  { 0x24, "maximum_qos", "u8", "CONNACK" },
  { 0x25, "retain_available", "u8", "CONNACK" },
  { 0x26, "user", "pair",
    "CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH", many = true },
  { 0x27, "maximum_packet_size", "u32", "CONNACK" },
  { 0x28, "wildcard_available", "u8", "CONNACK" },
  { 0x29, "subscription_id_available", "u8", "CONNACK" },
  { 0x2A, "shared_available", "u8", "CONNACK" },
}

local by_id, by_name = {}, {}
for _, p in ipairs(list) do
  by_id[p[1]], by_name[p[2]] = p, p
end

local write = {
  u8 = string.char, u16 = wire.u16, u32 = wire.u32, str = wire.str, bin = wire.str,
  varint = wire.varint,
  pair = function(kv) return wire.str(kv[1]) .. wire.str(kv[2]) end,
}

-- One property as bytes, whatever a packet may think of it.
function props.one(name, value)
  local p = assert(by_name[name], name)
  return string.char(p[1]) .. write[p[3]](value)
end

-- Named values to the property section without its length.  `raw` is appended as it stands.
function props.encode(values)
  if type(values) == "string" then return values end
  local out = {}
  for name in pairs(values) do
    if name ~= "raw" then assert(by_name[name], "no property " .. tostring(name)) end
  end
  for _, p in ipairs(list) do
    local value = values[p[2]]
    if value ~= nil then
      local several = p.many and type(value) == "table"
      for _, one in ipairs(several and value or { value }) do
        out[#out + 1] = props.one(p[2], one)
      end
    end
  end
  return table.concat(out) .. (values.raw or "")
end

local function read_value(r, kind)
  if kind == "pair" then return { r:str(), r:str() } end
  return r[kind](r)
end

-- Reads length and properties of a server's packet; raises on what a server must not send.
function props.decode(r, packet)
  local section = wire.reader(r:take(r:varint()))
  local values = {}
  while section:left() > 0 do
    local id = section:varint()
    local p = by_id[id] or error(("unknown property 0x%02X"):format(id), 0)
    if not (" " .. p[4] .. " "):find(" " .. packet .. " ", 1, true) then
      error(("property %s in %s from a server"):format(p[2], packet), 0)
    end
    local value = read_value(section, p[3])
    if p.many then
      values[p[2]] = values[p[2]] or {}
      table.insert(values[p[2]], value)
    elseif values[p[2]] ~= nil then
      error("property " .. p[2] .. " twice", 0)
    else
      values[p[2]] = value
    end
  end
  return values
end

return props
