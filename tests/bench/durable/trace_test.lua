-- trace.lua against traces made for the purpose: what it calls early must be early, and nothing else.
local here = arg[0]:match "^(.*)/" or "."
package.path = here .. "/?.lua;" .. package.path
local trace = require "trace"

local LOG, SOCKET = "/data/log-1", "socket:[42]"
local failed, checked = 0, 0

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("\\x%02x"):format(c:byte()) end))
end

local function quoted(bytes) return '"' .. hex(bytes) .. '"' end

local function publish(id)
  local body = string.pack(">s2I2", "topic", id) .. string.pack("<I4I4", 7, id) .. "SKEPMARK" .. ("\0"):rep(48)
  return "\x32" .. string.char(#body) .. body
end

local function puback(id) return "\x40\2" .. string.pack(">I2", id) end

local function line(pid, name, fd, what, rest, result)
  return ("%d %s(%d<%s>%s) = %d"):format(pid, name, fd, hex(what), rest, result)
end

local function recv(id, fd)
  local p = publish(id)
  return line(1, "recvfrom", fd or 9, SOCKET, (", %s, 65536, 0, NULL, NULL"):format(quoted(p)), #p)
end

local function write(id)
  local p = publish(id)
  return line(2, "pwritev", 5, LOG, (", [{iov_base=%s, iov_len=4}, {iov_base=%s, iov_len=%d}], 2, 4096"):format(
    quoted "head", quoted(p), #p), #p + 4)
end

local function send(id, fd)
  return line(1, "sendto", fd or 9, SOCKET, (", %s, 4, MSG_NOSIGNAL, NULL, 0"):format(quoted(puback(id))), 4)
end

local function sync(result) return line(2, "fdatasync", 5, LOG, "", result or 0) end

-- The two halves of a line, as strace shows a call during which another thread did something.
local function begun(text) return (text:gsub("%) = %-?%d+$", " <unfinished ...>")) end
local function ended(text) return (text:gsub("^(%d+) ([%w_]+)%(.*%) = ", "%1 <... %2 resumed>) = ")) end

local function check(what, lines, early, acks)
  local i = 0
  local got = trace.read(function() i = i + 1 return lines[i] end)
  checked = checked + 1
  if got.early ~= early or got.acks ~= acks then
    failed = failed + 1
    print(("%s: %d of %d early, not %d of %d"):format(what, got.early, got.acks, early, acks))
  end
  return got
end

check("in order", { recv(1), write(1), sync(), send(1) }, 0, 1)
check("sent before the sync", { recv(1), write(1), send(1), sync() }, 1, 1)
check("never synced", { recv(1), write(1), send(1) }, 1, 1)
check("never written", { recv(1), sync(), send(1) }, 1, 1)
check("a sync that failed", { recv(1), write(1), sync(-1), send(1) }, 1, 1)
check("a sync that failed, and one that did not", { recv(1), write(1), sync(-1), sync(), send(1) }, 0, 1)
check("sent while the sync is under way", { recv(1), write(1), begun(sync()), send(1), ended(sync()) }, 1, 1)
check("sent after a sync seen in two halves", { recv(1), write(1), begun(sync()), recv(2), ended(sync()), send(1) }, 0, 1)
check("the sync began before the write had ended",
  { recv(1), "3 fdatasync(5<" .. hex(LOG) .. "> <unfinished ...>", write(1), "3 <... fdatasync resumed>) = 0", send(1) }, 1, 1)
check("the second of two", { recv(1), recv(2), write(1), sync(), write(2), send(1), send(2), sync() }, 1, 2)
check("another file is synced", { recv(1), write(1), line(2, "fsync", 6, "/data/other", "", 0), send(1) }, 1, 1)

-- A packet cut in two reads, and an acknowledgement together with others in one vector.
local p = publish(3)
check("cut packets", {
  line(1, "read", 9, SOCKET, (", %s, 10"):format(quoted(p:sub(1, 10))), 10),
  line(1, "read", 9, SOCKET, (", %s, 999"):format(quoted(p:sub(11))), #p - 10),
  recv(4), write(3), write(4), sync(),
  line(1, "writev", 9, SOCKET, (", [{iov_base=%s, iov_len=4}, {iov_base=%s, iov_len=4}], 2"):format(quoted(puback(3)),
    quoted(puback(4))), 8) }, 0, 2)
-- Buffered writers cut messages anywhere.
check("cut writes", { recv(3),
  line(1, "write", 5, LOG, (", %s, 20"):format(quoted(p:sub(1, 20))), 20),
  line(1, "write", 5, LOG, (", %s, 99"):format(quoted(p:sub(21))), #p - 20), sync(), send(3) }, 0, 1)
-- Only what was written counts: here the mark was not.
check("a short write", { recv(3), line(1, "write", 5, LOG, (", %s, 99"):format(quoted(p)), 12), sync(), send(3) }, 1, 1)
-- A descriptor that is used again is another client.
check("closed and used again", { recv(1), line(1, "close", 9, SOCKET, "", 0), send(1) }, 0, 0)

local got = check("counts", { recv(1), write(1), sync(), sync(), send(1), line(1, "write", 5, LOG, ', "\\x78", 1', 1),
  write(1) }, 0, 1)
if got.syncs ~= 2 or got.bytes ~= #publish(1) + 4 then
  failed = failed + 1
  print(("counts: %d syncs, %d bytes"):format(got.syncs, got.bytes))
end

local summary = {
  "% time     seconds  usecs/call     calls    errors syscall",
  "------ ----------- ----------- --------- --------- ----------------",
  " 90.00    0.010000          10      1000         3 fdatasync",
  " 10.00    0.001000          10       100           fsync",
  "------ ----------- ----------- --------- --------- ----------------",
  "100.00    0.011000          10      1100         3 total",
}
local i = 0
local total = trace.count(function() i = i + 1 return summary[i] end)
if total ~= 1097 then
  failed = failed + 1
  print(("the summary: %d"):format(total))
end

print(("%d traces, %d failed"):format(checked, failed))
os.exit(failed == 0 and 0 or 1)
