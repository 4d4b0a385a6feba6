-- WebSocket around a link: the client's half of RFC 6455, able to break each of its rules.
local fail = require "fail"
local link = require "link"

local ws = {}
ws.__index = ws

local GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
ws.CONTINUE, ws.TEXT, ws.BINARY, ws.CLOSE, ws.PING, ws.PONG = 0, 1, 2, 8, 9, 10

-- options: path, host, protocol (false: none), origin, headers (raw lines), key, version, method
function ws.request(options)
  local o = options or {}
  local lines = {
    ("%s %s HTTP/1.1"):format(o.method or "GET", o.path or "/mqtt"),
    "Host: " .. (o.host or "localhost"),
    "Upgrade: websocket",
    "Connection: keep-alive, Upgrade",
    "Sec-WebSocket-Key: " .. (o.key or host.base64("skep-story-nonce")),
    "Sec-WebSocket-Version: " .. (o.version or "13"),
  }
  if o.protocol ~= false then
    lines[#lines + 1] = "Sec-WebSocket-Protocol: " .. (o.protocol or "mqtt")
  end
  if o.origin then lines[#lines + 1] = "Origin: " .. o.origin end
  for _, line in ipairs(o.headers or {}) do lines[#lines + 1] = line end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

-- The reply head and what followed it; nil when the server closed first.
function ws.read_head(lower, deadline)
  local bytes = ""
  while not bytes:find("\r\n\r\n", 1, true) do
    local more, why = lower:recv(deadline or link.deadline())
    if not more then return nil, why, bytes end
    bytes = bytes .. more
  end
  local stop = select(2, bytes:find("\r\n\r\n", 1, true))
  return bytes:sub(1, stop), bytes:sub(stop + 1)
end

function ws.parse_head(head)
  local reply = { status = tonumber(head:match("^HTTP/1%.1 (%d%d%d)")), headers = {} }
  for name, value in head:gmatch("\r\n([^:\r\n]+):%s*([^\r\n]*)") do
    reply.headers[name:lower()] = value
  end
  return reply
end

-- Upgrades an open link; the reply is kept in .reply.  Raises unless the server switched.
function ws.upgrade(lower, options)
  lower:send(ws.request(options))
  local head, rest = ws.read_head(lower)
  if not head then fail.raise("WebSocket upgrade: %s", rest) end
  local reply = ws.parse_head(head)
  if reply.status ~= 101 then fail.raise("WebSocket upgrade answered %s", head) end
  local key = options and options.key or host.base64("skep-story-nonce")
  local accept = host.base64(host.sha1(key .. GUID))
  if reply.headers["sec-websocket-accept"] ~= accept then
    fail.raise("Sec-WebSocket-Accept is %s, not %s", reply.headers["sec-websocket-accept"], accept)
  end
  return setmetatable({ lower = lower, reply = reply, buffer = rest, control = {} }, ws)
end

local function mask(bytes, key)
  local out = {}
  for from = 1, #bytes, 4096 do
    local chunk = { bytes:byte(from, from + 4095) }
    for i, b in ipairs(chunk) do chunk[i] = b ~ key:byte((from + i - 2) % 4 + 1) end
    out[#out + 1] = string.char(table.unpack(chunk))
  end
  return table.concat(out)
end

-- options: fin (default true), masked (default true), rsv, length (announced), key
function ws.frame(opcode, payload, options)
  local o = options or {}
  local first = (o.fin == false and 0 or 0x80) | (o.rsv or 0) << 4 | opcode
  local len, bit = o.length or #payload, o.masked == false and 0 or 0x80
  local head
  if o.wide or len > 65535 then
    head = string.pack(">BBI8", first, bit | 127, len)
  elseif len > 125 then
    head = string.pack(">BBI2", first, bit | 126, len)
  else
    head = string.char(first, bit | len)
  end
  if bit == 0 then return head .. payload end
  local key = o.key or "\x12\x34\x56\x78"
  return head .. key .. mask(payload, key)
end

function ws:send(bytes, seconds) return self.lower:send(ws.frame(ws.BINARY, bytes), seconds) end
function ws:send_frame(...) return self.lower:send(ws.frame(...)) end

-- One frame from the server: { opcode, payload, fin }; nil and why at the end.
function ws:read_frame(deadline)
  while true do
    local b = self.buffer
    if #b >= 2 then
      local first, second = b:byte(1, 2)
      if second & 0x80 ~= 0 then fail.raise("a masked frame from the server") end
      local len, at = second, 3
      if len == 126 and #b >= 4 then len, at = string.unpack(">I2", b, 3) end
      if second == 127 and #b >= 10 then len, at = string.unpack(">I8", b, 3) end
      local known = second < 126 or at > 3
      if known and #b >= at - 1 + len then
        self.buffer = b:sub(at + len)
        if first & 0x70 ~= 0 then fail.raise("a frame with reserved bits from the server") end
        return { opcode = first & 15, payload = b:sub(at, at + len - 1), fin = first & 0x80 ~= 0 }
      end
    end
    local more, why = self.lower:recv(deadline)
    if not more then return nil, why end
    self.buffer = self.buffer .. more
  end
end

-- MQTT bytes; control frames are kept aside, a close frame is the end of the stream.
function ws:recv(deadline)
  while true do
    local frame, why = self:read_frame(deadline)
    if not frame then return nil, why end
    if frame.opcode == ws.BINARY or frame.opcode == ws.CONTINUE then return frame.payload end
    if frame.opcode == ws.TEXT then fail.raise("a text frame from the server") end
    self.control[#self.control + 1] = frame
    if frame.opcode == ws.CLOSE then return nil, "closed" end
  end
end

-- The status of the close frame received, if one was.
function ws:close_status()
  for _, frame in ipairs(self.control) do
    if frame.opcode == ws.CLOSE and #frame.payload >= 2 then
      return (string.unpack(">I2", frame.payload))
    end
  end
end

function ws:shutdown() self.lower:shutdown() end
function ws:close() self.lower:close() end
function ws:abort() self.lower:abort() end

return ws
