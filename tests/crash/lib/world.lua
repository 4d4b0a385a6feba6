-- The clients of a crash run, and what they do while the broker lives and dies.
local book = require "book"
local fail = require "fail"
local journal = require "journal"
local link = require "link"
local peer = require "peer"
local sched = require "sched"

local world = {}
world.__index = world

-- Clients that are left out, to narrow a failure down.
world.without = ""

-- Publishers with windows of different sizes, in both versions; one without a session.
local publishers = {
  { id = "p1", version = 5, window = 20, streams = { { "a/1", 1 }, { "share/1", 1 } } },
  { id = "p2", version = 5, window = 10, streams = { { "a/2", 2 }, { "b/1", 2 } } },
  { id = "p3", version = 4, window = 1, streams = { { "b/2/x", 1 } } },
  { id = "p4", version = 4, window = 5, streams = { { "a/1", 2 }, { "share/1", 2 } } },
  { id = "p5", version = 5, window = 4, streams = { { "b/1", 1 } }, persistent = false },
  { id = "k1", version = 5, window = 2, qos = 1, keeps = "keep/one" },
  { id = "k2", version = 4, window = 1, qos = 2, keeps = "keep/two" },
}

-- Subscribers: overlapping filters, slow answers, some often away, one that comes and goes with its
-- subscriptions, a shared group.
local subscribers = {
  { id = "s1", version = 5, qos = 2, filters = { "a/#", "a/1", "will/#" } },
  { id = "s2", version = 5, qos = 1, filters = { "b/#", "+/1", "will/+" }, lazy = 5 },
  { id = "s3", version = 4, qos = 2, filters = { "b/#", "b/2/x", "+/1" }, lazy = 9 },
  { id = "s4", version = 4, qos = 1, filters = { "a/+", "b/2/#" }, roams = true },
  { id = "s5", version = 5, qos = 2, filters = { "a/2", "b/1", "share/1" }, roams = true },
  { id = "s6", version = 5, qos = 2, filters = { "a/2" }, churns = { "a/1", "b/#", "a/+" } },
  { id = "g1", version = 5, qos = 2, filters = { "share/1" }, group = "g" },
  { id = "g2", version = 5, qos = 2, filters = { "share/1" }, group = "g", lazy = 3 },
}

-- Wills at once, after a delay that is never over, after a short one; a session that ends now and
-- then.
local wills = {
  { id = "w1", version = 5, will = { qos = 2 } },
  { id = "w2", version = 4, will = { qos = 1 } },
  { id = "w3", version = 5, will = { qos = 2, delay = 600 } },
  { id = "w4", version = 5, will = { qos = 1, delay = 1 }, roams = true },
  { id = "e1", version = 5, brief = true },
}

local function copy(v)
  if type(v) ~= "table" then return v end
  local out = {}
  for k, item in pairs(v) do out[k] = copy(item) end
  return out
end

-- o: server (where the broker is), journal (for a run that is traced), seed
function world.new(o)
  local self = setmetatable({ book = book.new(), peers = {}, list = {}, events = {}, live = true,
    server = o.server, journal = o.journal or journal.new(false), publishing = false }, world)
  for _, kind in ipairs { publishers, subscribers, wills } do
    for _, row in ipairs(kind) do
      local p = peer.new(self, copy(row))
      self.peers[p.id] = p
      if not world.without:find(p.id, 1, true) then self.list[#self.list + 1] = p end
    end
  end
  return self
end

-- What happened to the broker, for the report of a failure.
function world:note(text, ...)
  table.insert(self.events, ("        %.3f " .. text):format(host.now(), ...))
  if #self.events > 12 then table.remove(self.events, 1) end
end

function world:complain(text, ...) self.book:complain(nil, text, ...) end

-- -- What a client does of itself --

-- Asks again for what was asked and not answered.
local function mend(self, p)
  for _, filter in ipairs(p.filters or {}) do
    local stands = self.book:stands(p.reader, filter)
    if p.group and not p.joined or not stands or stands == "asked" then
      p:begin("subscribe", filter)
    end
  end
  for _, filter in ipairs(p.churns or {}) do
    local stands = self.book:stands(p.reader, filter)
    if stands == "asked" then p:begin("subscribe", filter) end
    if stands == "leaving" then p:begin("unsubscribe", filter) end
  end
end

-- Called after everything that came: the windows are filled again.
function world:next_for(p)
  sched.signal(self)
  if not p.online or p.leaving then return end
  if not p.mended then
    p.mended = true
    mend(self, p)
  end
  while self.publishing and not p.idle and not p.refusal and (p.out_count or 0) < p.window do
    if p.streams then
      p:begin("publish", math.random(#p.streams))
    elseif p.keeps then
      p:begin "keep"
    else
      break
    end
  end
end

-- Who was refused tries again.
function world:wake()
  for _, p in ipairs(self.list) do p.refusal, p.idle = nil, false end
end

-- Lets publishers begin.
function world:publish()
  self.publishing = true
  for _, p in ipairs(self.list) do
    self:next_for(p)
    p:catch_up()
  end
end

-- -- Together --

-- A will that is due later comes before its client does.
local function may_return(p)
  return not (p.will and p.will.delay and p.will_message and p.will_message.owes > 0)
end

function world:connect(p, deadline)
  p.mended = false
  return p:connect(deadline or link.deadline())
end

-- Everybody who is not away comes back, all at once; false when the broker ended meanwhile.
function world:gather(everybody)
  local waiting, well = 0, true
  self:note "is met by its clients"
  for _, p in ipairs(self.list) do
    if everybody then p.away = false end
    if not p.at and not p.away and may_return(p) then
      waiting = waiting + 1
      sched.start(function()
        well = self:connect(p) and well
        waiting = waiting - 1
        sched.signal(self)
      end)
    end
  end
  while waiting > 0 do sched.listen(self, host.now() + 1) end
  if not well and not self.server:wait_end(1) then
    for _, p in ipairs(self.list) do
      if not p.online and not p.away and may_return(p) then self:complain("%s is not let in", p.id) end
    end
  end
  return well
end

-- The broker is gone: what had arrived is read, then the connections are.
function world:scatter()
  local deadline = link.deadline()
  self:note "ended"
  for _, p in ipairs(self.list) do
    while p.at and sched.listen(p, deadline) do end
    p:lost()
  end
end

-- Everybody leaves without a word.
function world:leave_all()
  for _, p in ipairs(self.list) do p:drop() end
end

local function all_present(self, reader)
  for _, p in ipairs(self.list) do
    if p.reader == reader and not p.online then return false end
  end
  return true
end

local function busy(self)
  for _, p in ipairs(self.list) do
    if p.online and (next(p.out) or next(p.asked)) then return p end
  end
end

function world:check(context)
  if not self.book.complaint then return end
  local parts = { self.book.complaint, "      the broker:\n" .. table.concat(self.events, "\n") }
  for _, p in ipairs(self.list) do
    if self.book.complaint:find(p.id, 1, true) then parts[#parts + 1] = p:tell() end
  end
  fail.raise("%s: %s", context, table.concat(parts, "\n"))
end

-- Publishers stop; everything under way is finished, everything owed to those present arrives (late:
-- delayed wills too).
function world:drain(context, late)
  local deadline = link.deadline(30)
  local function here(r) return all_present(self, r) end
  self.publishing = false
  while not self.book.complaint do
    for _, p in ipairs(self.list) do p:catch_up() end
    local p, m, r = busy(self), self.book:first_owed(here, late)
    if not p and not m then break end
    if not sched.listen(self, deadline) then
      if m then
        self.book:complain(m, "%s is owed it and does not get it", r.name)
      else
        self:complain("%s: something it sent is not answered", p.id)
      end
    end
    if not self.server:alive() then self:complain("%s", self.server:describe_end()) end
  end
  self:check(context)
  self.book:prune()
end

-- A stranger looks at the retained messages.
function world:look_at_retained(context)
  local c = self.server:join { clean_start = true }
  local found = {}
  c:subscribe("keep/#", 1)
  c:send { "PINGREQ" }
  while true do
    local p = c:try_next()
    if not p then c:complain "waiting for retained messages" end
    if p[1] == "PINGRESP" then break end
    found[p.topic] = p.payload
    c:finish(p)
  end
  c:disconnect()
  for topic in pairs(self.book.retained) do self.book:check_retained(topic, found[topic] or "") end
  self:check(context)
end

-- Messages published so far.
function world:count()
  local n = 0
  for _, s in pairs(self.book.streams) do n = n + s.last end
  for _, kept in pairs(self.book.retained) do n = n + #kept.values end
  return n
end

-- -- Unrest --

local unrest = {}

-- A subscription comes or goes.
function unrest.churn(self, p)
  local filter = p.churns and p.churns[math.random(#p.churns)]
  if not filter then return end
  local stands = self.book:stands(p.reader, filter)
  if not stands or stands == "left" then p:decide("subscribe", filter) end
  if stands == "granted" then p:decide("unsubscribe", filter) end
end

function unrest.takeover(self, p)
  if not p.will then self:connect(p) end
end

function unrest.drop(self, p)
  p:drop()
  p.away = p.roams and math.random(3) > 1
  if not p.away and may_return(p) then self:connect(p) end
end

function unrest.leave(self, p)
  p:decide "leave"
  local deadline = link.deadline()
  while p.at and sched.listen(p, deadline) do end
  p.away = p.roams and math.random(3) > 1
end

function unrest.finish(self, p)
  if p.brief then p:decide "finish" end
end

local kinds = { "churn", "churn", "churn", "takeover", "drop", "leave", "finish" }

local function come_back(self)
  for _, p in ipairs(self.list) do
    if not p.at and (not p.away or math.random(4) == 1) and may_return(p) then
      p.away = false
      self:connect(p)
    end
  end
end

-- One random act.
function world:stir()
  local p = self.list[math.random(#self.list)]
  local kind = kinds[math.random(#kinds)]
  if kind == "churn" then p = self.peers.s6 end
  if kind == "finish" then p = self.peers.e1 end
  if p.online and not p.leaving then unrest[kind](self, p) end
  come_back(self)
end

return world
