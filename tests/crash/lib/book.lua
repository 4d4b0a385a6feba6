-- What was promised, and what came: the books of a crash run.
--
-- A *stream* is one publisher's messages to one topic at one QoS, numbered from 1.  A *reader* is
-- a persistent session, or a shared group, with its subscriptions over time.  Whoever acts tells
-- the book; the book complains (book.complaint) when the broker cannot have kept its word:
--
--   an acknowledged message does not come         owed, and passed by or never delivered
--   a message comes that was never published, or that nobody subscribed to
--   a QoS 2 message comes twice; a QoS 1 message comes fresh more often than it was sent
--   messages of one stream come in another order
--
-- Time is a count of what was told, so that a journal can be told again (journal.lua).
local book = {}
book.__index = book

local KEPT = 300 -- so many delivered messages of a stream are remembered, for late repetitions
local PERIODS = 50 -- and so many of a subscription that comes and goes

-- Complaints that hold this text are passed over, to look behind a failure that is known.
book.ignored = nil

function book.new()
  return setmetatable({ clock = 0, streams = {}, readers = {}, retained = {}, owed = 0 }, book)
end

local function tick(self)
  self.clock = self.clock + 1
  return self.clock
end

-- -- Messages --

function book:stream(publisher, topic, qos)
  local key = publisher .. "|" .. topic
  local s = self.streams[key]
  if not s then
    s = { key = key, publisher = publisher, topic = topic, qos = qos, last = 0, base = 1,
      messages = {} }
    self.streams[key] = s
  end
  return s
end

-- Sizes differ: most are small, some fill a segment's end.  A message can be told from its bytes.
local function padding(seq)
  local dice = (seq * 2654435761 >> 20) % 1024
  return dice < 12 and dice * 1500 or dice < 600 and dice % 40 or dice
end

function book.payload(s, seq)
  return ("%s|%d|%s"):format(s.key, seq, ("x"):rep(padding(seq)))
end

function book.parse(payload)
  local publisher, topic, seq, pad = payload:match("^([^|]+)|([^|]+)|(%d+)|(x*)$")
  if not seq then return nil end
  seq = tonumber(seq)
  return #pad == padding(seq) and publisher .. "|" .. topic, seq
end

local function note(m, text, ...)
  m.story[#m.story + 1] = { host.now(), text, ... }
end

function book:create(s)
  s.last = s.last + 1
  local m = { stream = s, seq = s.last, sent = tick(self), sends = 0, owes = 0, story = {} }
  s.messages[s.last] = m
  return m
end

function book:sent(m, id)
  m.sends = m.sends + 1
  note(m, "%s sends it with id %d", m.stream.publisher, id)
end

-- -- Readers --

function book:reader(name, qos, shared)
  local r = self.readers[name]
  if not r then
    r = { name = name, qos = qos, shared = shared, filters = {}, seen = {}, last = {}, owed = {},
      owed_count = 0 }
    self.readers[name] = r
  end
  return r
end

local function last_period(r, filter)
  local list = r.filters[filter]
  return list and list[#list]
end

-- nil (never asked), "asked", "granted", "leaving" or "left".
function book:stands(r, filter)
  local p = last_period(r, filter)
  if not p then return nil end
  return p.left and "left" or p.leaving and "leaving" or p.granted and "granted" or "asked"
end

function book:subscribing(r, filter)
  local p = last_period(r, filter)
  if p and not p.left then -- a repetition: it holds on
    if not p.leaving then return end
    p.left = tick(self)
  end
  r.filters[filter] = r.filters[filter] or {}
  table.insert(r.filters[filter], { asked = tick(self) })
end

function book:subscribed(r, filter)
  local p = last_period(r, filter)
  p.granted = p.granted or tick(self)
end

function book:unsubscribing(r, filter)
  local p = last_period(r, filter)
  p.leaving = p.leaving or tick(self)
end

function book:unsubscribed(r, filter)
  local p = last_period(r, filter)
  p.left = p.left or tick(self)
end

local function matches(filter, topic)
  local f, t = {}, {}
  for level in (filter .. "/"):gmatch("([^/]*)/") do f[#f + 1] = level end
  for level in (topic .. "/"):gmatch("([^/]*)/") do t[#t + 1] = level end
  for i, level in ipairs(f) do
    if level == "#" then return true end
    if not t[i] or (level ~= "+" and level ~= t[i]) then return false end
  end
  return #f == #t
end

local known = {}
local function fits(filter, topic)
  local key = filter .. " " .. topic
  if known[key] == nil then known[key] = matches(filter, topic) end
  return known[key]
end

-- Does test(period) hold for any subscription of r that fits the topic?
local function any_period(r, topic, test)
  for filter, periods in pairs(r.filters) do
    if fits(filter, topic) then
      for _, p in ipairs(periods) do
        if test(p) then return true end
      end
    end
  end
  return false
end

local function must(r, m)
  return any_period(r, m.stream.topic, function(p)
    return p.granted and p.granted < m.sent and (not p.leaving or p.leaving > m.acked)
  end)
end

local function may(r, m)
  return any_period(r, m.stream.topic, function(p)
    return p.asked < (m.acked or math.huge) and (not p.left or p.left > m.sent)
  end)
end

-- -- What is owed --

local function set_of(table_of_sets, key)
  local set = table_of_sets[key]
  if not set then
    set = {}
    table_of_sets[key] = set
  end
  return set
end

local function settle(self, r, m)
  local owed = r.owed[m.stream.key]
  if owed and owed[m.seq] then
    owed[m.seq] = nil
    m.owes = m.owes - 1
    r.owed_count = r.owed_count - 1
    self.owed = self.owed - 1
  end
end

-- PUBACK or PUBREC came: from here on every reader who had subscribed before is owed it.
function book:acked(m)
  if m.acked then return end
  m.acked = tick(self)
  note(m, "acknowledged to %s", m.stream.publisher)
  for name, r in pairs(self.readers) do
    local seen = r.seen[m.stream.key]
    if not (seen and seen[m.seq]) and must(r, m) then
      if r.last[m.stream.key] and r.last[m.stream.key] > m.seq and not r.shared then
        self:complain(m, "%s was sent a later message of the stream without this one", name)
      end
      set_of(r.owed, m.stream.key)[m.seq] = true
      m.owes = m.owes + 1
      r.owed_count = r.owed_count + 1
      self.owed = self.owed + 1
    end
  end
end

-- -- Deliveries --

local function check_repetition(self, r, m, p, fresh)
  if p.qos == 2 then
    return self:complain(m, "%s has been given it a second time, at QoS 2", r.name)
  end
  if not p.dup and fresh >= m.sends then
    self:complain(m, "%s has been given it fresh (without DUP) %d times; it was sent %d times",
      r.name, fresh + 1, m.sends)
  end
end

local function check_order(self, r, m)
  local key = m.stream.key
  local last, owed = r.last[key] or 0, r.owed[key]
  if m.seq < last then
    return self:complain(m, "%s has been given it behind %d of its stream", r.name, last)
  end
  for seq = last + 1, m.seq - 1 do
    if owed and owed[seq] then
      self:complain(m.stream.messages[seq], "%s was given %d of its stream without this one",
        r.name, m.seq)
    end
  end
  r.last[key] = m.seq
end

-- p: the PUBLISH that an application got; reader: whose; via: the client.
function book:delivered(r, p, via)
  local key, seq = book.parse(p.payload)
  local s = key and self.streams[key]
  if not s or s.topic ~= p.topic or seq > s.last then
    return self:complain(nil, "%s was given %s at %s, which nobody published", r.name,
      p.payload:sub(1, 60), p.topic)
  end
  local m, seen = s.messages[seq], set_of(r.seen, key)
  if not m then -- long settled
    if p.qos == 2 or not p.dup then
      self:complain({ stream = s, seq = seq, story = {} }, "%s has been given it again, much later",
        r.name)
    end
    return
  end
  note(m, "%s is given it through %s with id %d%s", r.name, via, p.id or 0, p.dup and ", DUP" or "")
  if m.forbidden then return self:complain(m, "%s was given it although %s", r.name, m.forbidden) end
  if p.qos ~= math.min(s.qos, r.qos) then
    self:complain(m, "%s was given it at QoS %d", r.name, p.qos)
  end
  if not may(r, m) then
    self:complain(m, "%s was given it and has no subscription for it", r.name)
  end
  if seen[seq] then
    check_repetition(self, r, m, p, seen[seq])
  elseif not r.shared then
    check_order(self, r, m)
  end
  seen[seq] = (seen[seq] or 0) + (p.dup and 0 or 1)
  settle(self, r, m)
end

-- -- Retained messages: one writer a topic --

function book:retain(topic)
  self.retained[topic] = self.retained[topic] or { topic = topic, acked = 0, values = { [0] = "" } }
  return self.retained[topic]
end

-- The last acknowledged value, or one that was sent later.
function book:check_retained(topic, value)
  local kept = self:retain(topic)
  for n = kept.acked, #kept.values do
    if kept.values[n] == value then return end
  end
  local list = {}
  for n = kept.acked, #kept.values do list[#list + 1] = ("%q"):format(kept.values[n]) end
  self:complain(nil, "the retained message of %s is %q and should be %s", topic, value,
    table.concat(list, " or "))
end

-- -- Complaints, and forgetting --

local function tell(m)
  local lines = {}
  for _, entry in ipairs(m.story) do
    lines[#lines + 1] = ("        %.3f " .. entry[2]):format(entry[1], table.unpack(entry, 3))
  end
  return table.concat(lines, "\n")
end

-- The first complaint is kept: later ones tend to follow from it.
function book:complain(m, text, ...)
  text = text:format(...)
  if book.ignored and text:find(book.ignored, 1, true) then return end
  if m then
    text = ("message %d of %s (QoS %d): %s; its story:\n%s"):format(m.seq, m.stream.key,
      m.stream.qos, text, tell(m))
  end
  self.complaint = self.complaint or text
end

-- What readers for whom of(reader) holds are still owed; nil when nothing.  Late: wills whose delay
-- may not be over count too.
function book:first_owed(of, late)
  for _, r in pairs(self.readers) do
    if r.owed_count > 0 and of(r) then
      for key, set in pairs(r.owed) do
        local list = self.streams[key].messages
        local first
        for seq in pairs(set) do
          if (late or not list[seq].late) and seq < (first or math.huge) then first = seq end
        end
        if first then return list[first], r end
      end
    end
  end
end

-- Forgets messages that are done.
function book:prune()
  for key, s in pairs(self.streams) do
    while s.base < s.last - KEPT do
      local m = s.messages[s.base]
      if m and (m.owes > 0 or not (m.acked or m.refused)) then break end
      s.messages[s.base] = nil
      for _, r in pairs(self.readers) do
        if r.seen[key] then r.seen[key][s.base] = nil end
      end
      s.base = s.base + 1
    end
  end
  for _, r in pairs(self.readers) do
    for filter, list in pairs(r.filters) do
      if #list > PERIODS then r.filters[filter] = table.move(list, #list - PERIODS + 1, #list, 1, {}) end
    end
  end
end

return book
