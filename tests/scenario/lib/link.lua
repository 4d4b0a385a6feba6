-- A byte stream to the broker: TCP, TLS or Unix socket; ws.lua puts WebSocket frames around one.
-- Calls wait inside the task.  A call that fails raises; the end of the stream is a value.
local fail = require "fail"
local sched = require "sched"

local link = {}
link.__index = link

link.patience = 10 * tonumber(os.getenv("SKEP_STORY_SLOWNESS") or 1)

function link.deadline(seconds) return host.now() + (seconds or link.patience) end

-- Retries a primitive of host.h until it gives something else than "read" or "write".
local function persist(sock, deadline, call, ...)
  while true do
    local value, why = call(...)
    if value ~= nil or (why ~= "read" and why ~= "write") then return value, why end
    if not sched.wait(sock:fd(), why == "read" and "r" or "w", deadline) then
      return nil, "timeout"
    end
  end
end

-- where: { port =, host = } or { path = }, tls = options.  nil and why when refused.
function link.try_open(where, deadline)
  deadline = deadline or link.deadline()
  local sock, why
  if where.path then
    sock, why = host.unix(where.path)
  else
    sock, why = host.tcp(where.host or "127.0.0.1", where.port)
  end
  if not sock then return nil, why end
  if where.narrow then sock:narrow(where.narrow) end
  if not sched.wait(sock:fd(), "w", deadline) then return nil, "timeout" end
  local ok
  ok, why = sock:connected()
  if not ok then return nil, why end
  local self = setmetatable({ sock = sock }, link)
  if where.tls then
    ok, why = sock:start_tls(where.tls)
    if ok then ok, why = persist(sock, deadline, sock.handshake, sock) end
    if not ok then
      sock:close()
      return nil, why
    end
  end
  return self
end

function link.open(where)
  local self, why = link.try_open(where)
  if not self then
    fail.raise("no connection to %s: %s", where.path or tostring(where.port), why)
  end
  return self
end

-- Writes everything; false when the peer has closed, raises when it takes nothing any more.
function link:send(bytes, seconds)
  local at, deadline = 1, link.deadline(seconds)
  while at <= #bytes do
    local n, why = persist(self.sock, deadline, self.sock.write, self.sock, bytes, at)
    if not n then
      if why == "timeout" then fail.raise("the peer takes no more bytes") end
      return false
    end
    at = at + n
  end
  return true
end

-- Writes what fits now without waiting; the count taken.
function link:try_send(bytes, from) return self.sock:write(bytes, from) or 0 end

-- Some bytes; or nil and "closed", "timeout" or an error text.
function link:recv(deadline) return persist(self.sock, deadline, self.sock.read, self.sock) end

function link:shutdown() self.sock:shutdown() end
function link:close() self.sock:close() end
function link:abort() self.sock:abort() end
function link:tls_info() return self.sock:tls_info() end
function link:ticket() return self.sock:ticket() end

return link
