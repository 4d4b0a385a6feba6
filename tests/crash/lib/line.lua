-- A peer's connections: packets to bytes and back, and what is told when one fails.
--
-- self.at is the connection in use, nil when there is none (or a journal is told): then nothing is
-- sent.  What comes goes to self:got(); the end of a connection to self:begin "lose".
local link = require "link"
local mqtt = require "mqtt"
local rules = require "rules"
local sched = require "sched"
local wire = require "wire"

local line = {}

local HISTORY = 60

-- -- Sending --

local function note(self, dir, p)
  local h = self.history
  h[#h + 1] = { host.now(), dir, p }
  if #h > 2 * HISTORY then
    self.history = table.move(h, #h - HISTORY, #h, 1, {})
  end
end

function line.transmit(self, packet)
  local at = self.at
  if not at or self.leaving then return end
  note(self, "->", packet)
  at.rules:sent(packet)
  at.buffer[#at.buffer + 1] = mqtt.encode(packet, self.version)
end

-- Packets of one step leave together.  What the socket does not take waits in a task of its own:
-- whoever reads goes on reading.
function line.flush(self)
  local at = self.at
  if not at or at.writing or #at.buffer == 0 then return end
  local bytes = table.concat(at.buffer)
  at.buffer = {}
  local n = at.stream:try_send(bytes)
  if n == #bytes then return end
  at.writing = true
  sched.daemon(function()
    local well = at.stream:send(bytes:sub(n + 1))
    at.writing = false
    if well and self.at == at then line.flush(self) end
  end)
end

-- -- Connections --

local function digest(self, at)
  while self.at == at do
    local size = mqtt.size(at.received)
    if not size or size > #at.received then break end
    local bytes = at.received:sub(1, size)
    at.received = at.received:sub(size + 1)
    at.taken = at.taken + size
    local p, why = mqtt.decode(bytes, self.version)
    why = why or at.rules:received(p)
    note(self, "<-", p or wire.hex(bytes))
    if why then return self.world:complain("%s: the broker broke a rule: %s", self.id, why) end
    self.world.journal:came(self, p, at)
    self:got(p)
    sched.signal(self)
  end
  if self.at == at then
    self.world:next_for(self)
    line.flush(self)
  end
end

local function read_on(self, at)
  while self.at == at do
    local bytes = at.stream:recv(host.now() + 3600)
    if self.at ~= at then return end
    if not bytes then return line.lost(self) end
    at.received = at.received .. bytes
    digest(self, at)
  end
end

-- Our end or the broker's: from now on nothing is said.
function line.lost(self)
  if not self.at then return end
  self.at.stream:close()
  self.at = nil
  if self.online then self:begin "lose" end
  sched.signal(self)
end

-- The machine goes, or the broker: without a DISCONNECT.
function line.drop(self)
  if not self.at then return end
  self.at.stream:abort()
  line.lost(self)
end

-- Opens a connection; an older one is left standing for the broker to end (a takeover).  True when
-- the broker let it in.
function line.connect(self, deadline)
  local stream = link.try_open(self.world.server:where(), deadline)
  if not stream then return false end
  local old = self.at
  if old then
    self.at = nil
    if self.online then self:begin "lose" end
  end
  local at = { stream = stream, received = "", taken = 0, buffer = {},
    rules = rules.new({ id = self.id }, self.version) }
  self.at = at
  self.world.journal:opened(self, at)
  self:decide "connect"
  sched.daemon(function() read_on(self, at) end)
  while self.at == at and not self.online do
    if not sched.listen(self, deadline) then break end
  end
  if old then old.stream:close() end
  return self.at == at and self.online
end

local SHOWN = { "id", "topic", "qos", "dup", "retain", "session_present", "reason", "codes" }

-- What tells a packet from others, on one line.
local function show(p)
  if type(p) ~= "table" then return p end
  local parts = { p[1] }
  for _, name in ipairs(SHOWN) do
    if p[name] then parts[#parts + 1] = name .. "=" .. wire.show(p[name]) end
  end
  if p.payload then parts[#parts + 1] = p.payload:match("^[^|]*|?[^|]*|?[^|]*") end
  return table.concat(parts, " ")
end

-- The last packets, for the report of a failure.
function line.tell(self)
  local lines = {}
  for i = math.max(1, #self.history - HISTORY), #self.history do
    local h = self.history[i]
    lines[#lines + 1] = ("        %.3f %s %s"):format(h[1], h[2], show(h[3]))
  end
  return ("      client %s:\n%s"):format(self.id, table.concat(lines, "\n"))
end

return line
