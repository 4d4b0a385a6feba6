-- A client that outlives the broker: its session state is its own, as MQTT demands of a client.
--
-- It sends again with DUP what was not acknowledged, remembers which QoS 2 ids it has been given,
-- and tells the book what it sent, what was acknowledged and what its application was given.
-- What it decides (begin) and what it gets (got) change its state; only line.lua touches a socket.
-- Both go into the world's journal: told again without sockets, they lead to the same state.
local book = require "book"
local line = require "line"

local transmit, flush = line.transmit, line.flush

local peer = { connect = line.connect, lost = line.lost, drop = line.drop, tell = line.tell }
peer.__index = peer

-- o: id, version, persistent (default true), qos and filters (a reader), streams and window (a
-- publisher), keeps (topic it keeps a retained message at), will (see will_of), lazy (answers are
-- held back until so many wait)
function peer.new(world, o)
  local self = setmetatable({ world = world, book = world.book, out = {}, held = {}, asked = {},
    next_id = 0, will_count = 0, pending = {}, history = {}, lazy = 0, window = 1 }, peer)
  for k, v in pairs(o) do self[k] = v end
  if self.persistent == nil then self.persistent = true end
  if self.filters then self.reader = self.book:reader(self.group or self.id, self.qos, self.group) end
  for i, s in ipairs(self.streams or {}) do self.streams[i] = self.book:stream(self.id, s[1], s[2]) end
  if self.will then self.will_stream = self.book:stream(self.id, "will/" .. self.id, self.will.qos) end
  return self
end

-- -- Answers --

local function take_id(self)
  repeat self.next_id = self.next_id % 65535 + 1
  until not self.out[self.next_id] and not self.asked[self.next_id]
  return self.next_id
end

local function answer(self, packet)
  self.pending[#self.pending + 1] = packet
  if #self.pending <= self.lazy and self.world.live then return end
  for _, p in ipairs(self.pending) do transmit(self, p) end
  self.pending = {}
end

-- Sends what was held back.
function peer:catch_up()
  for _, p in ipairs(self.pending) do transmit(self, p) end
  self.pending = {}
  flush(self)
end

-- -- What it decides --

local begin = {}

local function in_flight(self)
  local list = {}
  for _, entry in pairs(self.out) do list[#list + 1] = entry end
  table.sort(list, function(a, b) return a.place < b.place end)
  return list
end

local function publish_packet(entry, dup)
  return { "PUBLISH", topic = entry.topic, payload = entry.payload, qos = entry.qos, id = entry.id,
    retain = entry.retain, dup = dup }
end

local function launch(self, entry)
  self.places = (self.places or 0) + 1
  entry.id, entry.place, entry.stage = take_id(self), self.places, "PUBLISH"
  self.out[entry.id] = entry
  self.out_count = (self.out_count or 0) + 1
  if entry.message then self.book:sent(entry.message, entry.id) end
  transmit(self, publish_packet(entry, false))
end

function begin.publish(self, index)
  local s = self.streams[index]
  local m = self.book:create(s)
  launch(self, { message = m, topic = s.topic, qos = s.qos, payload = book.payload(s, m.seq) })
end

-- Every fifth value is none at all.
function begin.keep(self)
  local kept = self.book:retain(self.keeps)
  local n = #kept.values + 1
  kept.values[n] = n % 5 == 0 and "" or ("%s %d"):format(self.id, n)
  launch(self, { kept = kept, number = n, topic = self.keeps, qos = self.qos, retain = true,
    payload = kept.values[n] })
end

function begin.subscribe(self, filter)
  local id = take_id(self)
  self.asked[id] = { filter = filter, packet = "SUBSCRIBE" }
  self.book:subscribing(self.reader, filter)
  local wire_filter = self.group and "$share/" .. self.group .. "/" .. filter or filter
  transmit(self, { "SUBSCRIBE", id = id, filters = { { wire_filter, self.qos } } })
end

function begin.unsubscribe(self, filter)
  local id = take_id(self)
  self.asked[id] = { filter = filter, packet = "UNSUBSCRIBE",
    again = self.book:stands(self.reader, filter) == "leaving" }
  self.book:unsubscribing(self.reader, filter)
  transmit(self, { "UNSUBSCRIBE", id = id, filters = { filter } })
end

-- The will is a message of a stream of its own, one for each connection.
local function will_of(self)
  if not self.will then return nil end
  local s = self.will_stream
  local m = self.book:create(s)
  m.sends = math.huge -- a broker that ends before a will is on its disk sends it again, as a new one
  self.will_message = m
  return { topic = s.topic, payload = book.payload(s, m.seq), qos = s.qos,
    properties = self.will.delay and { will_delay = self.will.delay } or nil }
end

function begin.connect(self)
  self.asked, self.pending, self.leaving = {}, {}, false
  transmit(self, { "CONNECT", id = self.id, clean_start = not self.persistent, will = will_of(self),
    properties = self.version == 5 and self.persistent and { session_expiry = 100000 } or nil })
end

-- Leaves in order.  Its will is not wanted any more, but may still go if the broker ends now.
function begin.leave(self)
  self.armed = nil
  transmit(self, { "DISCONNECT" })
  self.leaving = true
end

-- The same, and the session ends with it.
function begin.finish(self)
  self.armed, self.known = nil, false
  transmit(self, { "DISCONNECT", properties = { session_expiry = 0 } })
  self.leaving = true
end

local LONG = 100 -- seconds: a will that waits so long is never due in a test

-- The connection is gone, without a word: a will is owed, at once or after its delay.
function begin.lose(self)
  local will = self.armed
  self.online, self.leaving, self.armed, self.asked = false, false, nil, {}
  if will and (self.will.delay or 0) < LONG then
    will.late = self.will.delay ~= nil
    self.book:acked(will)
  else
    self.late_will = will
  end
  if not self.persistent then
    self.out, self.out_count, self.held = {}, 0, {}
  end
end

-- Decides, and writes it down.
function peer:begin(what, arg)
  self.world.journal:decided(self, what, arg)
  self:again(what, arg)
end

function peer:decide(what, arg)
  self:begin(what, arg)
  flush(self)
end

-- As it was decided before (a journal told again).
function peer:again(what, arg) begin[what](self, arg) end

-- -- What it gets --

local got = {}

local function finish(self, id)
  self.out[id] = nil
  self.out_count = self.out_count - 1
end

local function acknowledged(self, entry)
  if entry.message then self.book:acked(entry.message) end
  if entry.kept then entry.kept.acked = math.max(entry.kept.acked, entry.number) end
end

-- Refused in words: nobody is owed it.  Whether somebody saw it is the broker's business.
local function refused(self, entry, reason)
  self.refusal = reason
  if entry.message then entry.message.refused = true end
  finish(self, entry.id)
end

local function answered(self, p, stage)
  local entry = self.out[p.id]
  if not entry then
    self.world:complain("%s: %s for id %d, with which nothing is under way", self.id, p[1], p.id)
  elseif entry.stage ~= stage and not (entry.stage == "PUBREL" and p[1] == "PUBREC") then
    self.world:complain("%s: %s for id %d, which is at %s", self.id, p[1], p.id, entry.stage)
    return nil
  end
  return entry
end

function got.PUBACK(self, p)
  local entry = answered(self, p, "PUBLISH")
  if not entry then return end
  if p.reason >= 0x80 then return refused(self, entry, p.reason) end
  acknowledged(self, entry)
  finish(self, p.id)
end

function got.PUBREC(self, p)
  local entry = answered(self, p, "PUBLISH")
  if not entry then return end
  if p.reason >= 0x80 then return refused(self, entry, p.reason) end
  acknowledged(self, entry)
  entry.stage = "PUBREL"
  transmit(self, { "PUBREL", id = p.id })
end

function got.PUBCOMP(self, p)
  local entry = answered(self, p, "PUBREL")
  if not entry then return end
  if p.reason ~= 0 and not entry.again then
    self.world:complain("%s: PUBCOMP with 0x%02X for a PUBREL that was sent once", self.id, p.reason)
  end
  finish(self, p.id)
end

-- An id that is held stands for a message the application has: MQTT's exactly once.
function got.PUBLISH(self, p)
  if p.qos == 2 and self.held[p.id] then
    if self.held[p.id] ~= p.payload:sub(1, 60) then
      self.world:complain("%s: id %d stands for %s and comes with %s", self.id, p.id,
        self.held[p.id], p.payload:sub(1, 60))
    end
    return answer(self, { "PUBREC", id = p.id })
  end
  if self.reader then self.book:delivered(self.reader, p, self.id) end
  if p.qos == 1 then answer(self, { "PUBACK", id = p.id }) end
  if p.qos == 2 then
    self.held[p.id] = p.payload:sub(1, 60)
    answer(self, { "PUBREC", id = p.id })
  end
end

function got.PUBREL(self, p)
  self.held[p.id] = nil
  answer(self, { "PUBCOMP", id = p.id })
end

local function take_asked(self, p, packet)
  local asked = self.asked[p.id]
  self.asked[p.id] = nil
  if not asked or asked.packet ~= packet then
    self.world:complain("%s: %s for id %d, which asked for nothing", self.id, p[1], p.id)
    return nil
  end
  return asked.filter, asked.again
end

function got.SUBACK(self, p)
  local filter = take_asked(self, p, "SUBSCRIBE")
  if not filter then return end
  if p.codes[1] ~= self.qos then
    if self.world.may_refuse and p.codes[1] >= 0x80 then return end
    return self.world:complain("%s: SUBACK for %s with 0x%02X", self.id, filter, p.codes[1])
  end
  self.joined = true
  self.book:subscribed(self.reader, filter)
end

function got.UNSUBACK(self, p)
  local filter, again = take_asked(self, p, "UNSUBSCRIBE")
  if not filter then return end
  if p.codes and p.codes[1] ~= 0 and not (again and p.codes[1] == 0x11) then
    return self.world:complain("%s: UNSUBACK for %s with 0x%02X", self.id, filter, p.codes[1])
  end
  self.book:unsubscribed(self.reader, filter)
end

-- What was not acknowledged goes again, in its order.
local function resend(self)
  for _, entry in ipairs(in_flight(self)) do
    entry.again = true
    if entry.stage == "PUBREL" then
      transmit(self, { "PUBREL", id = entry.id })
    else
      if entry.message then self.book:sent(entry.message, entry.id) end
      transmit(self, publish_packet(entry, true))
    end
  end
end

-- A will that waited is not to be published once its client is back in time.
local function back_in_time(self)
  if self.late_will then
    self.late_will.forbidden = "its client came back within the will's delay"
  end
  self.late_will = nil
end

function got.CONNACK(self, p)
  if p.reason ~= 0 then
    if self.world.may_refuse then return end
    return self.world:complain("%s: refused with 0x%02X", self.id, p.reason)
  end
  if self.persistent and self.known and not p.session_present then
    self.world:complain("%s: its session is gone (session present is 0)", self.id)
  elseif not self.persistent and p.session_present then
    self.world:complain("%s: has a session it did not ask for", self.id)
  end
  if not self.known then self.held = {} end
  self.known, self.online = true, true
  self.armed = self.will_message
  back_in_time(self)
  resend(self)
end

function got.DISCONNECT(self, p)
  if p.reason ~= 0x8E and not (p.reason == 0x8B) then
    self.world:complain("%s: disconnected with 0x%02X", self.id, p.reason)
  end
end

function got.PINGRESP() end

-- A packet came.  In a journal told again, too.
function peer:got(p)
  got[p[1]](self, p)
end

-- After a journal was told: whoever was connected then has lost its connection.
function peer:recall()
  if self.online then begin.lose(self) end
end

return peer
