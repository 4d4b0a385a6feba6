-- Did each acknowledgement leave after the sync that covers its message?  Asked of a system-call
-- trace of the broker, written by strace -f -y -xx -s 1000000 with the calls in M.calls.
--
-- The generator's payloads hold publisher, number and "SKEPMARK" (gen/flow.h).  A PUBLISH read from
-- a socket says which packet id stands for which message, a write to a file that the message is in
-- that file, and the next sync of the file that begins after this write has ended covers it.  A
-- PUBACK whose send begins before that sync has ended left too early, as has one of a message that
-- was never written or synced.
--
--     lua5.4 trace.lua FILE        prints the counts; exit status 1 when one left too early
local M = {}

M.calls = "fdatasync,fsync,msync,sync_file_range,write,writev,pwrite64,pwritev,pwritev2,"
  .. "sendto,sendmsg,sendmmsg,read,readv,recvfrom,recvmsg,close"

local MARK, NAME = "SKEPMARK", 8
local ESCAPED = 4 -- characters of strace -xx for a byte
local PUBLISH, PUBACK = 3, 4

local writes = { write = true, writev = true, pwrite64 = true, pwritev = true, pwritev2 = true,
  sendto = true, sendmsg = true, sendmmsg = true }
local reads = { read = true, readv = true, recvfrom = true, recvmsg = true }
local syncs = { fdatasync = true, fsync = true }

local function unescape(text)
  return (text:gsub("\\x(%x%x)", function(h) return string.char(tonumber(h, 16)) end))
end

local function escape(bytes)
  return (bytes:gsub(".", function(c) return ("\\x%02x"):format(c:byte()) end))
end

-- All strings of a call, end to end, as far as the call got; still escaped, as most are only searched.
local function data_of(call)
  local parts = {}
  for text in call.arguments:gmatch '"([^"]*)"' do parts[#parts + 1] = text end
  return table.concat(parts):sub(1, call.result * ESCAPED)
end

local UNFINISHED = " <unfinished ...>"

-- Calls in the order in which they ended: name, fd, what the fd is, arguments, result, and the
-- lines (as times) at which the call was seen to begin and to end.
local function calls(lines)
  local pending, number = {}, 0

  local function parse(text, began)
    local name, rest, result = text:match "^([%w_]+)%((.*)%)%s*=%s*(%-?%d+)"
    if not name then return nil end
    local fd, kind = (rest .. ","):match "^(%d+)<(.-)>[,%s]"
    return { name = name, fd = fd, kind = unescape(kind or ""), arguments = rest, result = tonumber(result),
      began = began, ended = number }
  end

  return coroutine.wrap(function()
    for line in lines do
      number = number + 1
      local pid, text = line:match "^(%d+)%s+(.*)$"
      local cut = text and text:sub(-#UNFINISHED) == UNFINISHED and text:sub(1, -#UNFINISHED - 1)
      local resumed = text and text:match "^<%.%.%. [%w_]+ resumed>(.*)$"
      local call
      if cut then
        pending[pid] = { text = cut, began = number }
      elseif resumed and pending[pid] then
        call = parse(pending[pid].text .. resumed, pending[pid].began)
        pending[pid] = nil
      elseif text then
        call = parse(text, number)
      end
      if call then coroutine.yield(call) end
    end
  end)
end

-- Whole MQTT packets of one direction of a connection; what is cut waits for more.
local function packets(stream, data)
  stream.rest = (stream.rest or "") .. data
  return coroutine.wrap(function()
    while #stream.rest >= 2 do
      local length, shift, at = 0, 0, 2
      repeat
        local byte = stream.rest:byte(at)
        if not byte then return end
        length, shift, at = length | (byte & 127) << shift, shift + 7, at + 1
      until byte < 128
      if #stream.rest < at - 1 + length then return end
      local head, body = stream.rest:byte(1), stream.rest:sub(at, at - 1 + length)
      stream.rest = stream.rest:sub(at + length)
      coroutine.yield(head, body)
    end
  end)
end

local function id_of(body, at) return (string.unpack(">I2", body, at)) end

-- The marked messages in this escaped text, by the eight bytes that name each.
local ESCAPED_MARK = escape(MARK)
local function marked(text)
  local at = 1
  return function()
    local found = text:find(ESCAPED_MARK, at, true)
    if not found then return nil end
    at = found + #ESCAPED_MARK
    return text:sub(math.max(found - NAME * ESCAPED, 1), found - 1)
  end
end

local Reader = {}
Reader.__index = Reader

function Reader:received(call)
  local state = self.fds[call.fd] or { inbound = {}, outbound = {}, message = {} }
  self.fds[call.fd] = state
  for head, body in packets(state.inbound, unescape(data_of(call))) do
    if head >> 4 == PUBLISH and head & 6 ~= 0 then
      local name = marked(escape(body))()
      if name then state.message[id_of(body, 3 + id_of(body, 1))] = name end
    end
  end
end

function Reader:sent(call)
  local state = self.fds[call.fd]
  if not state then return end
  for head, body in packets(state.outbound, unescape(data_of(call))) do
    local name = head >> 4 == PUBACK and state.message[id_of(body, 1)]
    if name then
      -- Judged at the end: the call that covers it may have ended after this one, as threads go.
      self.acknowledged[#self.acknowledged + 1] = { name = name, at = call.began }
      state.message[id_of(body, 1)] = nil
    end
  end
end

function Reader:stored(call)
  local file = self.files[call.kind] or { waiting = {}, tail = "" }
  self.files[call.kind] = file
  -- A segment full of zeros, for one.
  if call.name:find "^pwrite" and not call.arguments:find(ESCAPED_MARK, 1, true) then return end
  local data = data_of(call)
  local whole, any = file.tail .. data, false
  -- Buffered writers cut anywhere; those that name the place (pwrite) write messages whole.
  file.tail = call.name:find "^pwrite" and "" or whole:sub(-(#MARK + NAME - 1) * ESCAPED)
  for name in marked(whole) do
    -- What is moved elsewhere later (into a checkpoint) is safe already, and no part of its price.
    if not self.covered[name] then
      file.waiting[#file.waiting + 1] = { name = name, at = call.ended }
      any = true
    end
  end
  if any then self.bytes = self.bytes + #data // ESCAPED end
end

function Reader:synced(call)
  self.syncs = self.syncs + 1
  local file, later = self.files[call.kind], {}
  if not file then return end
  for _, message in ipairs(file.waiting) do
    if message.at >= call.began then
      later[#later + 1] = message
    elseif not self.covered[message.name] then
      self.covered[message.name] = call.ended
    end
  end
  file.waiting = later
end

local function is_file(call) return call.kind:sub(1, 1) == "/" end

function Reader:take(call)
  if syncs[call.name] then
    if call.result == 0 then self:synced(call) end
  elseif call.name == "msync" or call.name == "sync_file_range" then
    self.syncs = self.syncs + 1
  elseif not call.fd or call.result < 0 then
    return
  elseif call.name == "close" then
    self.fds[call.fd] = nil
  elseif writes[call.name] and is_file(call) then
    self:stored(call)
  elseif writes[call.name] then
    self:sent(call)
  elseif reads[call.name] and not is_file(call) then
    self:received(call)
  end
end

-- { acks =, early =, syncs =, bytes = } of an iterator over lines.  bytes: of the writes by which
-- messages came to a file first.
function M.read(lines)
  local reader = setmetatable({ fds = {}, files = {}, covered = {}, acknowledged = {}, syncs = 0,
    bytes = 0 }, Reader)
  for call in calls(lines) do reader:take(call) end
  local early = 0
  for _, ack in ipairs(reader.acknowledged) do
    local covered = reader.covered[ack.name]
    if not covered or covered >= ack.at then early = early + 1 end
  end
  return { acks = #reader.acknowledged, early = early, syncs = reader.syncs, bytes = reader.bytes }
end

-- The summary of strace -c: calls that did not fail, all of them together.
function M.count(lines)
  local total = 0
  for line in lines do
    local count, failed, name = line:match "^%s*[%d.]+%s+[%d.]+%s+%d+%s+(%d+)%s+(%d*)%s*([%w_]+)%s*$"
    if name and name ~= "total" then
      total = total + tonumber(count) - (tonumber(failed) or 0)
    end
  end
  return total
end

if arg and arg[0] and arg[0]:find "trace%.lua$" then
  local result = M.read(io.lines(arg[1]))
  print(("acks sent before their sync: %d of %d; %d syncs, %d bytes"):format(result.early,
    result.acks, result.syncs, result.bytes))
  os.exit(result.early == 0 and result.acks > 0 and 0 or 1)
end

return M
