-- What every client decided and got, in order, so that the world as it was at one moment of a
-- traced run can be told again.
--
-- What came has a place in its connection's stream of bytes; the shim's trace says when the broker
-- handed those bytes to the kernel.  At a cut before that moment the client had not got them.
local journal = {}
journal.__index = journal

-- recording: false keeps nothing.
function journal.new(recording)
  return setmetatable({ recording = recording, entries = {}, ports = {} }, journal)
end

local function add(self, entry)
  if self.recording then self.entries[#self.entries + 1] = entry end
end

function journal:decided(peer, what, arg)
  add(self, { peer = peer.id, what = what, arg = arg })
end

-- Ports are used again: `nth` says which of the connections from that port it is.
function journal:opened(_, at)
  if not self.recording then return end
  at.port = assert(at.stream.sock:port())
  self.ports[at.port] = (self.ports[at.port] or 0) + 1
  at.nth = self.ports[at.port]
end

function journal:came(peer, packet, at)
  add(self, { peer = peer.id, packet = packet, port = at.port, nth = at.nth, upto = at.taken })
end

-- Gives every packet that came the number of the trace's events that had surely happened before it
-- was sent.
function journal:date(trace)
  for _, e in ipairs(self.entries) do
    if e.packet then e.before = trace:sent_after(e.port, e.nth, e.upto) end
  end
end

-- Tells peers (by id) what happened while no more than `events` had: each up to the first packet
-- that was sent later.  One sent when exactly so many had happened may have come before the cut.
function journal:tell(peers, events)
  local over = {}
  for _, e in ipairs(self.entries) do
    if e.packet and e.before > events then over[e.peer] = true end
    if not over[e.peer] then
      local peer = peers[e.peer]
      if e.packet then peer:got(e.packet) else peer:again(e.what, e.arg) end
    end
  end
end

-- -- In a file, to be told again by another run --

local function literal(v)
  if type(v) ~= "table" then return ("%q"):format(v) end
  local parts = {}
  for k, item in pairs(v) do parts[#parts + 1] = ("[%q]=%s"):format(k, literal(item)) end
  return "{" .. table.concat(parts, ",") .. "}"
end

-- After date().  What the codec leaves of a packet's bytes is not needed again.
function journal:save(path)
  local f = assert(io.open(path, "w"))
  f:write "return {\n"
  for _, e in ipairs(self.entries) do
    if e.packet then e.packet.bytes = nil end
    f:write(literal(e), ",\n")
  end
  f:write "}\n"
  f:close()
end

function journal.load(path)
  local self = journal.new(false)
  self.entries = assert(loadfile(path))()
  return self
end

return journal
