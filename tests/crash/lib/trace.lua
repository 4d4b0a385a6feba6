-- The shim's trace (shim/shim.h): what was written, synced and sent, in order.
local trace = {}
trace.__index = trace

local KINDS = { "CREATED", "FOUND", "WRITE", "SYNCED", "SIZE", "RENAME", "UNLINK", "DIR_SYNCED",
  "ACCEPTED", "SENT" }

-- Traces of lives that followed each other, as one.  Without the bytes.
function trace.read(paths)
  local self = setmetatable({ events = {}, ports = {} }, trace)
  for _, path in ipairs(paths) do self:append(path) end
  return self
end

function trace:append(path)
  local first = #self.events
  local f = assert(io.open(path, "rb"))
  local bytes = f:read("a")
  f:close()
  local at = 1
  while at + 23 <= #bytes do
    local kind, file, place, len = string.unpack("<I4I4I8I8", bytes, at)
    local e = { kind = KINDS[kind], file = file, at = place, len = len }
    at = at + 24 + (e.kind == "SENT" and 0 or (len + 7) // 8 * 8)
    if at > #bytes + 1 then break end -- the process ended within this entry
    self.events[#self.events + 1] = e
    self:follow(e, first)
  end
  for _, list in pairs(self.ports) do
    for _, c in ipairs(list) do c.last = c.last or #self.events end
  end
end

-- Connections of each port, in order, each with its sends: how many bytes with it, and after how
-- many events at the earliest.
function trace:follow(e, first)
  if e.kind == "ACCEPTED" then
    self.ports[e.file] = self.ports[e.file] or {}
    table.insert(self.ports[e.file], { total = 0, sends = {} })
  elseif e.kind == "SENT" then
    local list = self.ports[e.file]
    if not list then return end -- before the trace was asked for, or another kind of listener
    local c = list[#list]
    c.total = c.total + e.len
    table.insert(c.sends, { upto = c.total, after = first + e.at })
  end
end

-- After how many events, at the earliest, byte `upto` of the nth connection from this port was sent.
-- A process that was killed may have sent without having noted it: then, by its end.
function trace:sent_after(port, nth, upto)
  local c = self.ports[port] and self.ports[port][nth]
  for i = c and c.cursor or 1, c and #c.sends or 0 do
    if c.sends[i].upto >= upto then
      c.cursor = i
      return c.sends[i].after
    end
  end
  if c then return c.last end
  error(("the trace does not say when byte %d went to port %d"):format(upto, port))
end

return trace
