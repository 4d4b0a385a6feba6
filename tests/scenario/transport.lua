-- Unix sockets, IPv6, PROXY headers, several listeners, and what each listener may decide.
local link = require "link"

story.both("MQTT works over a Unix socket", "MQTT-4.2-1/5 MQTT-4.2.0-1/3.1.1 MQTT-7.1.1-1/3.1.1",
  function(t)
  local b = t:broker "listener mqtt { bind 127.0.0.1:${port}; }\nlistener local { bind unix:${dir}/mqtt.sock; }"
  local c = b:join { path = b.dir .. "/mqtt.sock" }
  c:subscribe(t.topic, 1)
  b:join():publish { topic = t.topic, payload = "to the socket", qos = 1 }
  c:receive { payload = "to the socket" }
end)

story("a Unix socket has the mode that was asked for, and goes away", "MQTT-4.2-1/5", function(t)
  local b = t:own_broker "listener mqtt { bind 127.0.0.1:${port}; }\nlistener local { bind unix:${dir}/m.sock; mode 0600; }"
  local mode, kind = host.mode(b.dir .. "/m.sock")
  t:equal(kind, "socket", "what stands there")
  t:equal(("%o"):format(mode), "600", "its mode")
  b:stop()
  t:equal(host.mode(b.dir .. "/m.sock"), nil, "the socket afterwards")
end)

story("a Unix socket left behind by a crash does not stop the next start", "MQTT-4.2-1/5",
  function(t)
  local b = t:own_broker "listener mqtt { bind 127.0.0.1:${port}; }\nlistener local { bind unix:${dir}/m.sock; }"
  b:kill()
  t:check(host.mode(b.dir .. "/m.sock"), "the crash removed it")
  b:restart()
  b:join { path = b.dir .. "/m.sock" }:ping()
end)

story("IPv6 works beside IPv4", "MQTT-4.2-1/5", function(t)
  local _, why = link.try_open { host = "::1", port = 1 }
  if why and why:find("address") then t:skip("no IPv6 here: " .. why) end
  local b = t:broker "listener mqtt { bind 127.0.0.1:${port} [::1]:${port}; }"
  b:wait_listening { host = "::1", port = b.ports.port }
  local six, four = b:join { host = "::1" }, b:join()
  six:subscribe(t.topic, 1)
  four:publish { topic = t.topic, payload = "x", qos = 1 }
  six:receive { payload = "x" }
end)

story("a listener may admit only some versions", "MQTT-3.1.2-2", function(t)
  local b = t:broker "listener mqtt { bind 127.0.0.1:${port}; versions 5; }"
  b:join { version = 5 }:ping()
  local c = b:client { version = 4 }
  c:expect { "CONNACK", reason = 1 }
  c:expect_closed()
  c = b:client { version = 3 }
  c:expect { "CONNACK", reason = 1 }
  c:expect_closed()
  b = t:broker "listener mqtt { bind 127.0.0.1:${port}; versions 3.1.1; }"
  b:join { version = 4 }:ping()
  c = b:client { version = 5 }
  c:expect_refused(0x84)
end)

story("a mount point keeps the topics of a listener's clients apart", "MQTT-3.3.2-3", function(t)
  local b = t:broker([[
    listener mqtt { bind 127.0.0.1:${port}; }
    listener tenant { bind 127.0.0.1:${tenant_port}; mount_point tenant/; }
  ]])
  local outside, inside = b:join(), b:join { port = b.ports.tenant_port }
  outside:subscribe("tenant/" .. t.topic .. "/#", 1)
  inside:subscribe(t.topic .. "/#", 1)
  inside:subscribe("+/" .. t.topic, 1)
  inside:publish { topic = t.topic .. "/a", payload = "in", qos = 1 }
  outside:receive { topic = "tenant/" .. t.topic .. "/a", payload = "in" }
  inside:receive { topic = t.topic .. "/a", payload = "in" }
  outside:publish { topic = "tenant/" .. t.topic .. "/b", payload = "out", qos = 1 }
  inside:receive { topic = t.topic .. "/b", payload = "out" }
  outside:receive { payload = "out" }
  outside:publish { topic = t.topic .. "/c", payload = "elsewhere", qos = 1 }
  outside:publish { topic = "other/" .. t.topic, payload = "elsewhere", qos = 1 }
  inside:expect_nothing()
  -- wills and retained messages too
  local w = b:join { port = b.ports.tenant_port, will = { topic = t.topic .. "/w",
    payload = "will", retain = true } }
  w:abort()
  outside:receive { topic = "tenant/" .. t.topic .. "/w", payload = "will" }
  inside:receive { topic = t.topic .. "/w" }
  local late = b:join { port = b.ports.tenant_port }
  late:subscribe("#", 0)
  late:receive { topic = t.topic .. "/w", payload = "will", retain = true }
end)

story("no anonymous client beyond this machine unless it is said", "MQTT-3.1.4-2/5", function(t)
  local b = t:broker "listener mqtt { bind 127.0.0.1:${port}; anonymous deny; }\nlistener open { bind 127.0.0.1:${open_port}; }"
  local c = b:client { version = 5 }
  c:expect_refused { 0x86, 0x87 }
  c = b:client { version = 5, username = "someone", password = "something" }
  c:expect_refused { 0x86, 0x87 }
  c = b:client { version = 4 }
  c:expect { "CONNACK", reason = any { 4, 5 } }
  c:expect_closed()
  c = b:client { version = 3, username = "u", password = "p" }
  c:expect { "CONNACK", reason = any { 4, 5 } }
  c:expect_closed()
  b:join { port = b.ports.open_port }:ping()
end)

story("a listener admits no more connections than configured", "MQTT-4.8.0-2/3.1.1", function(t)
  local b = t:broker "listener mqtt { bind 127.0.0.1:${port}; max_connections 2; }\nlistener b { bind 127.0.0.1:${b_port}; }"
  local one
  for _ = 1, 40 do -- the connection that saw the port listen may still be going away
    one = b:client()
    if one:try_next() then break end
  end
  local two
  for _ = 1, 40 do
    two = b:client()
    if two:try_next() then break end
  end
  local three = b:client()
  local got = three:try_next()
  t:check(not got or got.reason >= 0x80, "a third was let in")
  one:ping()
  two:ping()
  b:join { port = b.ports.b_port }:ping()
  one:disconnect()
  for _ = 1, 40 do
    three = b:client()
    got = three:try_next()
    if got and got.reason == 0 then return end
  end
  t:check(false, "the place that became free was not given away")
end)

-- PROXY protocol

local PROXY = [[
  log { level debug; }
  listener mqtt { bind 127.0.0.1:${port}; proxy_protocol any from 127.0.0.0/8; anonymous allow; connect_timeout 3s; }
]]

local function v2(command, family, body)
  return "\r\n\r\n\0\r\nQUIT\n" .. string.char(0x20 | command, family) .. string.pack(">s2", body)
end

local V4 = "\xcb\x00\x71\x07\x7f\x00\x00\x01" .. string.pack(">I2I2", 4711, 1883) -- 203.0.113.7

local good = {
  ["v1 TCP4"] = "PROXY TCP4 203.0.113.7 127.0.0.1 4711 1883\r\n",
  ["v1 TCP6"] = "PROXY TCP6 2001:db8::7 ::1 4711 1883\r\n",
  ["v1 UNKNOWN"] = "PROXY UNKNOWN\r\n",
  ["v1 UNKNOWN with more"] = "PROXY UNKNOWN ffff:f...f:ffff 65535\r\n",
  ["v2 TCP4"] = v2(1, 0x11, V4),
  ["v2 TCP4 with a TLV"] = v2(1, 0x11, V4 .. "\x04\x00\x03abc"),
  ["v2 TCP6"] = v2(1, 0x21, ("\x20\x01\x0d\xb8" .. ("\0"):rep(12)):rep(2) .. string.pack(">I2I2",
    4711, 1883)),
  ["v2 LOCAL"] = v2(0, 0x00, ""),
  ["v2 LOCAL with an address"] = v2(0, 0x11, V4),
}

story("PROXY headers of every kind are taken", "MQTT-4.2-1/5", function(t)
  local mqtt = require "mqtt"
  local b = t:broker(PROXY)
  for what, header in pairs(good) do
    for _, split in ipairs { #header, 1, 5, 14 } do
      local c = b:socket { id = t.topic }
      local bytes = header .. mqtt.encode({ "CONNECT", id = t.topic .. what }, 5)
      c:send_bytes(bytes:sub(1, split))
      c:send_bytes(bytes:sub(split + 1))
      local got = c:try_next()
      t:check(got and got.reason == 0, "%s: got %s", what, require("wire").show(got))
    end
  end
end)

story("the address of a PROXY header is the client's", "MQTT-4.2-1/5", function(t)
  local b = t:broker(PROXY)
  local c = b:socket { id = t.topic }
  c:send_bytes(good["v2 TCP4"])
  c:send { "CONNECT", id = t.topic }
  c:expect { "CONNACK", reason = 0 }
  b:wait_output "203%.0%.113%.7"
end)

story("broken PROXY headers end the connection", "MQTT-4.8.0-2/3.1.1", function(t)
  local b = t:broker(PROXY)
  for what, header in pairs {
    ["no header"] = "",
    ["an address that is none"] = "PROXY TCP4 203.0.113.700 127.0.0.1 4711 1883\r\n",
    ["a port too large"] = "PROXY TCP4 203.0.113.7 127.0.0.1 99999 1883\r\n",
    ["the wrong family"] = "PROXY TCP4 2001:db8::7 ::1 4711 1883\r\n",
    ["an unknown protocol"] = "PROXY UDP4 203.0.113.7 127.0.0.1 4711 1883\r\n",
    ["no end of line"] = "PROXY TCP4 " .. ("1"):rep(200),
    ["line feed alone"] = "PROXY TCP4 203.0.113.7 127.0.0.1 4711 1883\n",
    ["v2 too short for its family"] = v2(1, 0x11, "abc"),
    ["v2 with version 1"] = "\r\n\r\n\0\r\nQUIT\n\x11\x11" .. string.pack(">s2", V4),
    ["v2 command 3"] = v2(3, 0x11, V4),
    ["half a signature"] = "\r\n\r\n\0\r\nQUIX",
  } do
    local c = b:socket()
    c:send_bytes(header)
    c:send { "CONNECT", id = t.topic }
    local got = c:try_next()
    t:check(not got and c.ended, "%s: got %s", what, got and require("wire").show(got) or "silence")
  end
end)

story("a PROXY listener refuses callers it does not expect", "MQTT-4.8.0-2/3.1.1", function(t)
  local b = t:broker [[
    listener mqtt { bind 127.0.0.1:${port}; }
    listener lb { bind 127.0.0.1:${lb_port}; proxy_protocol any from 192.0.2.0/24; anonymous allow; }
  ]]
  local c = b:socket { port = b.ports.lb_port }
  c:send_bytes(good["v1 TCP4"])
  c:send { "CONNECT", id = t.topic }
  c:expect_closed()
end)

story("a listener without PROXY takes no header", "MQTT-3.1.0-1/5", function(t)
  local c = t:broker():socket()
  c:send_bytes(good["v1 TCP4"])
  c:expect_closed()
end)

story("each listener has its own time for the CONNECT", "MQTT-4.8.0-2/3.1.1", function(t)
  local b = t:broker [[
    limits { connect_timeout 60s; }
    listener mqtt { bind 127.0.0.1:${port}; }
    listener hasty { bind 127.0.0.1:${hasty_port}; connect_timeout 1s; }]]
  b:wait_listening { port = b.ports.hasty_port }
  local patient, hasty = b:socket(), b:socket { port = b.ports.hasty_port }
  hasty:expect_closed(5)
  patient:send { "CONNECT", id = t.topic }
  patient:expect { "CONNACK", reason = 0 }
end)
