-- MQTT over WebSocket: the upgrade, and frames of every kind, right and wrong.
local link = require "link"
local mqtt = require "mqtt"
local ws = require "ws"

local CONF = "listener ws { bind 127.0.0.1:${port}; path /mqtt; }"

local function join(b, options)
  options = options or {}
  options.ws = options.ws or {}
  return b:join(options)
end

-- An upgraded connection without CONNECT.
local function raw(b, options)
  return b:socket { ws = options or {}, version = options and options.version }
end

-- The server closes: maybe with a close frame of one of these codes.
local function expect_end(t, c, codes)
  local bytes, why = c.stream:recv(link.deadline())
  while bytes do bytes, why = c.stream:recv(link.deadline()) end
  t:equal(why, "closed", "what ended the stream")
  local status = c.stream:close_status()
  if not status then return end
  for _, code in ipairs(codes) do
    if status == code then return end
  end
  t:check(false, "closed with status %d", status)
end

-- The status of the reply to an upgrade request; nil when the server just closed.
local function request(b, options)
  local lower = link.open(b:where())
  lower:send(type(options) == "string" and options or ws.request(options))
  local head = ws.read_head(lower)
  lower:close()
  return head and ws.parse_head(head)
end

story.both("MQTT works over WebSocket", "MQTT-6.0.0-4 MQTT-4.2-1/5 MQTT-4.2.0-1/3.1.1", function(t)
  local c = join(t:broker(CONF))
  t:equal(c.stream.reply.headers["sec-websocket-protocol"], "mqtt", "the sub-protocol")
  c:subscribe(t.topic, 2)
  for qos = 0, 2 do
    c:publish { topic = t.topic, payload = "q" .. qos, qos = qos }
    c:receive { payload = "q" .. qos, qos = qos }
  end
  c:disconnect()
end)

story("3.1 clients may name the sub-protocol mqttv3.1", "MQTT-6.0.0-4 MQTT-V31-1", function(t)
  local c = t:broker(CONF):join { version = 3, ws = { protocol = "mqttv3.1" } }
  t:equal(c.stream.reply.headers["sec-websocket-protocol"], "mqttv3.1", "the sub-protocol")
  c:ping()
end)

story("mqtt is chosen among several sub-protocols", "MQTT-6.0.0-4", function(t)
  local c = t:broker(CONF):join { ws = { protocol = "chat, mqtt, soap" } }
  t:equal(c.stream.reply.headers["sec-websocket-protocol"], "mqtt", "the sub-protocol")
end)

story.both("packets may span frames", "MQTT-6.0.0-2", function(t, version)
  local c = raw(t:broker(CONF))
  local bytes = mqtt.encode({ "CONNECT", id = t.topic }, version) .. mqtt.encode({ "PINGREQ" },
    version)
  for i = 1, #bytes do c.stream:send(bytes:sub(i, i)) end
  c:expect { "CONNACK", reason = 0 }
  c:expect { "PINGRESP" }
end)

story.both("a frame may hold several packets", "MQTT-6.0.0-2", function(t, version)
  local c = raw(t:broker(CONF))
  local bytes = mqtt.encode({ "CONNECT", id = t.topic }, version)
    .. mqtt.encode({ "SUBSCRIBE", id = 1, filters = { { t.topic, 0 } } }, version)
  for i = 1, 20 do
    bytes = bytes .. mqtt.encode({ "PUBLISH", topic = t.topic, payload = tostring(i) }, version)
  end
  c.stream:send(bytes)
  c:expect { "CONNACK", reason = 0 }
  c:expect { "SUBACK" }
  for i = 1, 20 do c:receive { payload = tostring(i) } end
end)

story.both("a message may be fragmented, control frames in between", "MQTT-6.0.0-2", function(t,
  version)
  local c = raw(t:broker(CONF))
  local bytes = mqtt.encode({ "CONNECT", id = t.topic }, version) .. mqtt.encode({ "PINGREQ" },
    version)
  c.stream:send_frame(ws.BINARY, bytes:sub(1, 3), { fin = false })
  c.stream:send_frame(ws.PING, "hello")
  c.stream:send_frame(ws.CONTINUE, bytes:sub(4, 9), { fin = false })
  c.stream:send_frame(ws.CONTINUE, "", { fin = false })
  c.stream:send_frame(ws.PONG, "unasked")
  c.stream:send_frame(ws.CONTINUE, bytes:sub(10))
  c:expect { "CONNACK", reason = 0 }
  c:expect { "PINGRESP" }
  local pong = c.stream.control[1]
  t:check(pong and pong.opcode == ws.PONG and pong.payload == "hello",
    "no PONG with the payload of the PING")
end)

story.both("a text frame ends the connection", "MQTT-6.0.0-1", function(t, version)
  local b = t:broker(CONF)
  local c = raw(b)
  c.stream:send_frame(ws.TEXT, mqtt.encode({ "CONNECT", id = t.topic }, version))
  expect_end(t, c, { 1003, 1002, 1007 })
  c = join(b)
  c.stream:send_frame(ws.TEXT, "hello")
  expect_end(t, c, { 1003, 1002 })
end)

story("frames that break the WebSocket rules end the connection", "MQTT-6.0.0-1/5", function(t)
  local b = t:broker(CONF)
  local ping = mqtt.encode({ "PINGREQ" }, 5)
  for what, frame in pairs {
    ["not masked"] = ws.frame(ws.BINARY, ping, { masked = false }),
    ["reserved bit 1"] = ws.frame(ws.BINARY, ping, { rsv = 4 }),
    ["reserved bit 3"] = ws.frame(ws.BINARY, ping, { rsv = 1 }),
    ["opcode 3"] = ws.frame(3, ping),
    ["opcode 11"] = ws.frame(11, ""),
    ["continuation of nothing"] = ws.frame(ws.CONTINUE, ping),
    ["a new message within one"] = ws.frame(ws.BINARY, "\xc0", { fin = false })
      .. ws.frame(ws.BINARY, "\0"),
    ["a fragmented control frame"] = ws.frame(ws.PING, "x", { fin = false }),
    ["a control frame of 126 bytes"] = ws.frame(ws.PING, ("x"):rep(126)),
    ["a length in more bytes than needed"] = ws.frame(ws.BINARY, ping, { wide = true }),
    ["the highest length bit"] = "\x82\xff\x80" .. ("\0"):rep(7) .. "mask",
    ["a close frame of one byte"] = ws.frame(ws.CLOSE, "x"),
  } do
    local c = join(b)
    c.stream.lower:send(frame)
    local ok, err = pcall(expect_end, t, c, { 1002, 1003, 1007, 1009 })
    t:check(ok, "%s: %s", what, tostring(err))
  end
end)

story("a frame longer than any packet ends the connection", "MQTT-6.0.0-1/5", function(t)
  local b = t:broker("limits { max_packet 4k; }\n" .. CONF)
  local c = join(b)
  c.stream.lower:send(ws.frame(ws.BINARY, mqtt.encode({ "PUBLISH", topic = "a", length = 5000,
    body = "" }, 5)))
  c:expect_dropped(0x95)
end)

story("a large frame with a 64-bit length is taken", "MQTT-6.0.0-2", function(t)
  local c = join(t:broker(CONF))
  c:subscribe(t.topic, 0)
  local payload = ("0123456789"):rep(20000)
  c:publish { topic = t.topic, payload = payload }
  t:check(c:receive().payload == payload, "the payload changed")
end)

story("a close frame is answered and ends the connection", "MQTT-6.0.0-1/5", function(t)
  local b = t:broker(CONF)
  local watcher = join(b)
  watcher:subscribe(t.topic)
  local c = join(b, { will = { topic = t.topic, payload = "gone" } })
  c.stream:send_frame(ws.CLOSE, string.pack(">I2", 1000))
  expect_end(t, c, { 1000 })
  t:equal(c.stream:close_status(), 1000, "the status of the answer")
  watcher:receive { payload = "gone" } -- no DISCONNECT came
end)

story("requests that are no upgrade are turned away in HTTP", "MQTT-6.0.0-4", function(t)
  local b = t:broker(CONF)
  local function status(options) return (request(b, options) or {}).status end
  t:equal(status { path = "/elsewhere" }, 404, "another path")
  t:equal(status { version = "8" }, 426, "another version")
  t:check((status { method = "POST" } or 400) >= 400, "POST")
  t:check((status { key = "" } or 400) >= 400, "an empty key")
  t:check((status "GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n" or 400) >= 400, "a plain GET")
  t:check((status "GET /mqtt HTTP/1.0\r\nHost: x\r\n\r\n" or 400) >= 400, "HTTP/1.0")
  t:check((status "nonsense\r\n\r\n" or 400) >= 400, "nonsense")
  t:check((status { protocol = "chat" } or 400) >= 400, "no sub-protocol of ours")
end)

story("a request head of more than 8 KiB is refused", "MQTT-6.0.0-4", function(t)
  local b = t:broker(CONF)
  local reply = request(b, { headers = { "X-Filler: " .. ("x"):rep(9000) } })
  t:check(not reply or reply.status >= 400, "it was taken")
  reply = request(b, { headers = { "X-Filler: " .. ("x"):rep(6000) } })
  t:equal(reply and reply.status, 101, "the status of a head of 6 KB")
end)

story("header names and values are taken in any case", "MQTT-6.0.0-4", function(t)
  local reply = request(t:broker(CONF),
    "GET /mqtt HTTP/1.1\r\nHOST: x\r\nuPGRADE: WebSocket\r\nconnection: upgrade\r\n"
    .. "SEC-WEBSOCKET-KEY: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version:13\r\n"
    .. "Sec-WebSocket-Protocol:mqtt\r\n\r\n")
  t:equal(reply and reply.status, 101, "the status")
  t:equal(reply.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "the accept key")
end)

story("CONNECT may come along with the upgrade request", "MQTT-6.0.0-2", function(t)
  local b = t:broker(CONF)
  local lower = link.open(b:where())
  lower:send(ws.request() .. ws.frame(ws.BINARY, mqtt.encode({ "CONNECT", id = t.topic }, 5)))
  local head, rest = ws.read_head(lower)
  t:check(head and head:find("^HTTP/1.1 101"), "no upgrade")
  while #rest < 4 do rest = rest .. t:check(lower:recv(link.deadline())) end
  t:equal(rest:byte(1), 0x82, "the first byte of the frame")
  lower:close()
end)

story("only the configured origins may connect", "MQTT-6.0.0-4", function(t)
  local b = t:broker "listener ws { bind 127.0.0.1:${port}; origins https://good.example; }"
  t:equal((request(b, { origin = "https://evil.example" }) or {}).status, 403, "another origin")
  t:equal((request(b, { origin = "https://good.example" }) or {}).status, 101, "a good origin")
  t:equal((request(b, { origin = "https://good.example.evil.example" }) or {}).status, 403,
    "a longer one")
end)

story("clients over TCP and WebSocket reach each other", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:broker "listener mqtt { bind 127.0.0.1:${port}; }\nlistener ws { bind 127.0.0.1:${ws_port}; }"
  local plain = b:join()
  local web = b:join { port = b.ports.ws_port, ws = {} }
  plain:subscribe(t.topic, 1)
  web:subscribe(t.topic, 1)
  plain:publish { topic = t.topic, payload = "from TCP", qos = 1 }
  web:receive { payload = "from TCP" }
  web:publish { topic = t.topic, payload = "from the web", qos = 1 }
  plain:receive { payload = "from TCP" }
  plain:receive { payload = "from the web" }
end)

story("a silent WebSocket client is closed by its keep alive", "MQTT-3.1.2-22/5", function(t)
  local c = t:broker(CONF):join { ws = {}, keep_alive = 1 }
  local began = t:now()
  c:expect { "DISCONNECT", reason = 0x8D }
  expect_end(t, c, { 1000, 1001, 1002 })
  t:check(t:now() - began < 3, "closed only after %.1f s", t:now() - began)
end)
