-- What holds for every connection, checked on every packet of every story:
-- the server's half of the protocol that does not depend on what a story asks for.
local rules = {}
rules.__index = rules

-- connect: the CONNECT as the story gave it (nil for raw connections)
function rules.new(connect, version)
  connect = connect or {}
  local p = connect.properties
  if type(p) ~= "table" or version < 5 then p = {} end
  return setmetatable({
    version = version,
    limit = (p.maximum_packet_size or 0) > 0 and p.maximum_packet_size or math.huge,
    alias_maximum = p.topic_alias_maximum or 0,
    receive_maximum = p.receive_maximum or 65535,
    quiet_problems = p.request_problem == 0,
    wants_response = p.request_response == 1,
    auth_method = p.auth_method,
    aliases = {}, in_flight = {}, open = 0,
  }, rules)
end

local function has_problem(p)
  return p.properties and (p.properties.reason_string or p.properties.user)
end

local checks = {}

function checks.CONNACK(self, p)
  if self.connack then return "[MQTT-3.2.0-2] a second CONNACK" end
  self.connack = p
  self.accepted = p.reason == 0
  if p.properties then
    if p.properties.response_information and not self.wants_response then
      return "[MQTT-3.1.2-28] response information nobody asked for"
    end
    if p.properties.auth_method ~= self.auth_method and p.reason == 0 then
      return "[MQTT-4.12.0-5] [MQTT-4.12.0-6] authentication method differs from CONNECT's"
    end
  end
end

function checks.PUBLISH(self, p)
  local alias = p.properties and p.properties.topic_alias
  p.wire_topic = p.topic
  if alias then
    if alias == 0 then return "[MQTT-3.3.2-8] topic alias 0" end
    if alias > self.alias_maximum then return "[MQTT-3.1.2-26] topic alias above the maximum" end
    if p.topic == "" then
      p.topic = self.aliases[alias]
      if not p.topic then return "topic alias that stands for nothing" end
    end
    self.aliases[alias] = p.topic
  end
  if p.topic == "" then return "PUBLISH without a topic" end
  if p.qos == 0 then return end
  local known = self.in_flight[p.id]
  if known and not p.dup then return "[MQTT-2.2.1-4] packet id in use taken again" end
  if known == "PUBREL" then return "[MQTT-4.3.3-6] PUBLISH again after PUBREC" end
  if not known then self.open = self.open + 1 end
  self.in_flight[p.id] = "PUBLISH"
  if self.open > self.receive_maximum then return "[MQTT-3.3.4-9] more in flight than allowed" end
end

function checks.PUBREL(self, p)
  if not self.in_flight[p.id] then self.open = self.open + 1 end
  self.in_flight[p.id] = "PUBREL"
end

function checks.AUTH(self, p)
  if not self.auth_method then return "[MQTT-4.12.0-6] AUTH without a method" end
  if p.properties.auth_method ~= self.auth_method then
    return "[MQTT-4.12.0-5] AUTH with another method"
  end
end

function checks.DISCONNECT(self)
  if not self.accepted then return "[MQTT-3.14.0-1] DISCONNECT before an accepting CONNACK" end
  self.done = true
end

local may_explain = { PUBLISH = true, CONNACK = true, DISCONNECT = true }

-- nil, or what is wrong with this packet from the server
function rules:received(p)
  if self.done then return "[MQTT-3.14.4-1] a packet after DISCONNECT" end
  if self.connack and self.connack.reason ~= 0 then return "a packet after a refusing CONNACK" end
  if not self.connack and p[1] ~= "CONNACK" and p[1] ~= "AUTH" then
    return "[MQTT-3.2.0-1] " .. p[1] .. " before CONNACK"
  end
  if #p.bytes > self.limit then
    return ("[MQTT-3.1.2-24] %d bytes where the client takes %d"):format(#p.bytes, self.limit)
  end
  if self.quiet_problems and not may_explain[p[1]] and has_problem(p) then
    return "[MQTT-3.1.2-29] problem information nobody asked for"
  end
  local check = checks[p[1]]
  return check and check(self, p)
end

-- What the client sends ends its half of deliveries.
function rules:sent(p)
  local finished = p[1] == "PUBACK" or p[1] == "PUBCOMP"
    or p[1] == "PUBREC" and (p.reason or 0) >= 0x80
  if finished and self.in_flight[p.id] then
    self.in_flight[p.id] = nil
    self.open = self.open - 1
  end
end

return rules
