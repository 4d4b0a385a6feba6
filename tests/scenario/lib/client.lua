-- An MQTT client for stories: sends what it is told, and says exactly what came instead.
--
-- Sending:  c:send{ "PUBLISH", ... }  c:send_bytes(bytes)
-- Steps:    c:publish{}  c:subscribe("f", 1)  c:unsubscribe("f")  c:ping()  c:disconnect()
-- Strict:   c:expect{ "CONNACK", reason = 0 }  c:receive{ topic = }  c:expect_nothing()
--           c:expect_closed()  c:expect_dropped(0x82)  c:expect_refused(0x85, 2)
--
-- A field wanted by expect is compared with the packet's: tables by their own fields, any{ 1, 2 }
-- by
-- its members, functions by calling them; false means "absent".
local fail = require "fail"
local link = require "link"
local mqtt = require "mqtt"
local rules = require "rules"
local wire = require "wire"
local ws = require "ws"

local client = {}
client.__index = client

-- any{ 0x81, 0x82 }: a wanted value that may be one of several
local Any = {}
function any(values) return setmetatable(values, Any) end

-- where: as link.open, and ws = upgrade options.  connect: the CONNECT to send later.
function client.open(where, connect, version)
  local stream = link.open(where)
  if where.ws then stream = ws.upgrade(stream, where.ws) end
  return setmetatable({
    stream = stream, version = version, connect = connect,
    id = connect and connect.id, rules = rules.new(connect, version),
    buffer = "", inbox = {}, history = {}, next_id = 0,
  }, client)
end

local function note(self, line)
  table.insert(self.history, line)
  if #self.history > 12 then table.remove(self.history, 1) end
end

local function explain(self, text)
  return ("%s\n      client %s, MQTT version %d; the last packets:\n        %s"):format(
    text, wire.show(self.id), self.version, table.concat(self.history, "\n        "))
end

function client:complain(text, ...)
  if select("#", ...) > 0 then text = text:format(...) end
  fail.raise("%s", explain(self, text))
end

function client:send_bytes(bytes)
  note(self, "-> " .. wire.hex(bytes))
  self.stream:send(bytes)
  return self
end

function client:send(packet)
  local bytes = mqtt.encode(packet, self.version)
  note(self, "-> " .. wire.show(packet) .. "  " .. wire.hex(bytes, 24))
  self.rules:sent(packet)
  self.stream:send(bytes)
  return self
end

function client:take_id()
  self.next_id = self.next_id % 65535 + 1
  return self.next_id
end

-- Decodes every whole packet in the buffer into the inbox.
local function digest(self)
  while true do
    local ok, size = pcall(mqtt.size, self.buffer)
    if not ok then self:complain("%s in %s", size, wire.hex(self.buffer)) end
    if not size or size > #self.buffer then return end
    local bytes = self.buffer:sub(1, size)
    self.buffer = self.buffer:sub(size + 1)
    local p, why = mqtt.decode(bytes, self.version)
    note(self, "<- " .. (p and wire.show(p) or "?") .. "  " .. wire.hex(bytes))
    if p then why = self.rules:received(p) end
    if why then self:complain("the broker broke a rule: %s", why) end
    self.inbox[#self.inbox + 1] = p
  end
end

-- Reads until the inbox holds more than `have` packets; false and why at the end of the stream.
local function fill(self, have, deadline)
  while #self.inbox <= have do
    if self.ended then return false, "closed" end
    local bytes, why = self.stream:recv(deadline)
    if not bytes then
      if why ~= "timeout" then self.ended = why end
      return false, why
    end
    self.buffer = self.buffer .. bytes
    digest(self)
  end
  return true
end

-- The next packet, or nil and why not.
function client:try_next(seconds)
  local ok, why = fill(self, 0, link.deadline(seconds))
  if not ok then return nil, why end
  return table.remove(self.inbox, 1)
end

local matches
function matches(want, got)
  if want == false and got == nil then return true end
  if type(want) == "function" then return want(got) end
  if getmetatable(want) == Any then
    for _, one in ipairs(want) do
      if matches(one, got) then return true end
    end
    return false
  end
  if type(want) ~= "table" or type(got) ~= "table" then return want == got end
  if #want > 0 and #want ~= #got then return false end
  for k, v in pairs(want) do
    if not matches(v, got[k]) then return false end
  end
  return true
end

-- The next packet, which must fit `want`.
function client:expect(want, seconds)
  local got, why = self:try_next(seconds)
  if not got then self:complain("expected %s, but: %s", wire.show(want), why) end
  if not matches(want, got) then
    self:complain("expected %s\n      and got  %s\n      bytes    %s", wire.show(want),
      wire.show(got), wire.hex(got.bytes))
  end
  return got
end

-- The first packet that fits `want`; others stay in the inbox in their order.
function client:await(want, seconds)
  local deadline, at = link.deadline(seconds), 1
  while true do
    local ok, why = fill(self, at - 1, deadline)
    if not ok then self:complain("waiting for %s: %s", wire.show(want), why) end
    if matches(want, self.inbox[at]) then return table.remove(self.inbox, at) end
    at = at + 1
  end
end

-- The packets that `wants` describe, in any order.
function client:expect_all(wants)
  local open = table.move(wants, 1, #wants, 1, {})
  while #open > 0 do
    local got, why = self:try_next()
    if not got then self:complain("still expected %s, but: %s", wire.show(open), why) end
    local hit
    for i, want in ipairs(open) do
      if matches(want, got) then hit = i break end
    end
    if not hit then self:complain("expected one of %s\n      got %s", wire.show(open),
      wire.show(got)) end
    table.remove(open, hit)
  end
end

-- An application message with its whole handshake.
function client:receive(want, seconds)
  want = want or {}
  want[1] = "PUBLISH"
  local p = self:expect(want, seconds)
  self:finish(p)
  return p
end

-- The handshake that answers a PUBLISH from the broker.
function client:finish(p)
  if p.qos == 1 then
    self:send { "PUBACK", id = p.id }
  elseif p.qos == 2 then
    self:send { "PUBREC", id = p.id }
    self:await { "PUBREL", id = p.id, reason = 0 }
    self:send { "PUBCOMP", id = p.id }
  end
end

-- A round trip; packets on the way stay in the inbox.
function client:ping()
  self:send { "PINGREQ" }
  self:await { "PINGRESP" }
  return self
end

-- Nothing has been sent to this client: two round trips, so that what another thread of the broker
-- was about to hand over has had a whole turn to arrive.
function client:expect_nothing()
  for _ = 1, 2 do
    self:send { "PINGREQ" }
    local got, why = self:try_next()
    if not got then self:complain("expected nothing, but: %s", why) end
    if got[1] ~= "PINGRESP" then
      self:complain("expected nothing, got %s\n      bytes %s", wire.show(got), wire.hex(got.bytes))
    end
  end
end

-- The stream ends, with nothing before the end.
function client:expect_closed(seconds)
  local got, why = self:try_next(seconds)
  if got then self:complain("expected the end of the stream, got %s", wire.show(got)) end
  if why == "timeout" then self:complain("expected the end of the stream, which stays open") end
  if #self.buffer > 0 then self:complain("the stream ended within a packet: %s",
    wire.hex(self.buffer)) end
end

-- A live connection is ended by the broker: DISCONNECT with the reason in MQTT 5, a close before.
-- reason: a code or a list of codes.
function client:expect_dropped(reason, seconds)
  if self.version == 5 then
    if type(reason) == "table" then reason = any(reason) end
    self:expect({ "DISCONNECT", reason = reason }, seconds)
  end
  self:expect_closed(seconds)
end

-- A CONNECT is turned down.  MQTT 5: a CONNACK with `code5`, or the bare close that the
-- specification also allows.  Before: CONNACK `code3`, or a bare close where that is nil.
function client:expect_refused(code5, code3)
  local code = code3
  if self.version == 5 then code = type(code5) == "table" and any(code5) or code5 end
  local got, why = self:try_next()
  if not got and why ~= "timeout" and (self.version == 5 or not code3) then return end
  if not got then self:complain("expected a refusal, but: %s", why) end
  if not code or not matches({ "CONNACK", reason = code }, got) then
    self:complain("expected a refusal with %s, got %s", wire.show { code = code }, wire.show(got))
  end
  self:expect_closed()
  return got
end

-- Hands a message in and finishes its handshake; returns the last acknowledgement.
function client:publish(p)
  p[1] = "PUBLISH"
  p.qos = p.qos or 0
  if p.qos > 0 then p.id = p.id or self:take_id() end
  self:send(p)
  if p.qos == 0 then return end
  if p.qos == 1 then return self:await { "PUBACK", id = p.id } end
  local rec = self:await { "PUBREC", id = p.id }
  if rec.reason >= 0x80 then return rec end
  self:send { "PUBREL", id = p.id }
  return self:await { "PUBCOMP", id = p.id }
end

-- c:subscribe("a/b", 1) or c:subscribe{ { "a/b", qos = 1, no_local = true }, properties = {} };
-- returns the SUBACK.  Raises when a filter is refused, unless `refused` is set.
function client:subscribe(filters, qos)
  if type(filters) == "string" then filters = { { filters, qos or 0 } } end
  local id = self:take_id()
  self:send { "SUBSCRIBE", id = id, filters = filters, properties = filters.properties }
  local ack = self:await { "SUBACK", id = id }
  for i, code in ipairs(ack.codes) do
    if code >= 0x80 and not filters.refused then
      self:complain("subscription to %s refused with 0x%02X", filters[i][1], code)
    end
  end
  return ack
end

function client:unsubscribe(...)
  local id = self:take_id()
  self:send { "UNSUBSCRIBE", id = id, filters = { ... } }
  return self:await { "UNSUBACK", id = id }
end

-- Leaves in order, and sees the broker close.
function client:disconnect(p)
  p = p or {}
  p[1] = "DISCONNECT"
  self:send(p)
  self:expect_closed()
end

-- Leaves as a crashed machine does.
function client:abort() self.stream:abort() end
function client:close() self.stream:close() end

return client
