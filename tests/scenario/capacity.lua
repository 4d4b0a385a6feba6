-- Capacity: what happens when a client, or all of them, want more than there is.
local link = require "link"
local mqtt = require "mqtt"
local show = require("wire").show

local function limits(text) return "limits { " .. text .. " }" end

-- Offers much QoS 0 to a client that does not read; returns it.
local function starve(t, b, topic)
  local sleeper = b:join { narrow = 262144 } -- smaller ones make the kernel crawl
  sleeper:subscribe(topic, 0)
  local p = b:join()
  for i = 1, 3000 do
    p:publish { topic = topic, payload = ("%06d"):format(i) .. ("x"):rep(4000) }
    if i % 500 == 0 then p:ping() end
  end
  p:ping()
  return sleeper, p
end

story("slow_consumer drop: QoS 0 is dropped, in order, and the client stays", "MQTT-4.6.0-6/5",
  function(t)
  local b = t:broker(limits "qos0_queue_bytes 64k; slow_consumer drop;")
  local c, p = starve(t, b, t.topic)
  local count, last = 0, 0
  p:publish { topic = t.topic .. "/end", payload = "end", qos = 1 }
  c:send { "PINGREQ" }
  while true do
    local got = c:try_next()
    if not got or got[1] == "PINGRESP" then
      t:check(got, "the client was closed")
      break
    end
    local n = tonumber(got.payload:sub(1, 6))
    t:check(n > last, "%d after %d", n, last)
    last, count = n, count + 1
  end
  t:check(count > 10 and count < 2900, "%d of 3000 arrived", count)
end, { alone = true })

story("slow_consumer close: the client is closed", "MQTT-4.8.0-2/3.1.1", function(t)
  local b = t:broker(limits "qos0_queue_bytes 64k; slow_consumer close;")
  local c = starve(t, b, t.topic)
  local got, why
  repeat got, why = c:try_next() until not got or got[1] == "DISCONNECT"
  t:check(got or why ~= "timeout", "the client stays")
end, { alone = true })

story("message_rate with pause slows a client down and loses nothing", "MQTT-4.6.0-6/5", function(t)
  local b = t:broker(limits "message_rate 50/s; rate_excess pause;")
  local c, p = b:join(), b:join()
  c:subscribe(t.topic, 0)
  local began, bytes = t:now(), {}
  for i = 1, 150 do bytes[i] = mqtt.encode({ "PUBLISH", topic = t.topic, payload = tostring(i) },
    5) end
  p:send_bytes(table.concat(bytes))
  for i = 1, 150 do c:receive { payload = tostring(i) } end
  local took = t:now() - began
  t:check(took > 1 and took < 6, "150 messages at 50 a second took %.1f s", took)
end)

story("message_rate with close ends a client with 0x96", "MQTT-4.13.1-1/5", function(t)
  local b = t:broker(limits "message_rate 20/s; rate_excess close;")
  local p, slow = b:join(), b:join()
  local one = mqtt.encode({ "PUBLISH", topic = t.topic, payload = "x" }, 5)
  p.stream:send(one:rep(500))
  p:expect_dropped(0x96)
  slow:publish { topic = t.topic, payload = "x", qos = 1 }
end)

story("byte_rate slows a client down", "MQTT-4.6.0-6/5", function(t)
  local b = t:broker(limits "byte_rate 100k/s; rate_excess pause;")
  local c, p = b:join(), b:join()
  c:subscribe(t.topic, 0)
  local began = t:now()
  for _ = 1, 10 do p:publish { topic = t.topic, payload = ("x"):rep(30000) } end
  for _ = 1, 10 do c:receive() end
  local took = t:now() - began
  t:check(took > 1 and took < 7, "300 KB at 100 KB a second took %.1f s", took)
end)

story("max_connections bounds all listeners together", "MQTT-4.8.0-2/3.1.1", function(t)
  local b = t:own_broker(limits "max_connections 3;" .. [[
    listener mqtt { bind 127.0.0.1:${port}; }
    listener more { bind 127.0.0.1:${more_port}; }
  ]])
  local held = {}
  local deadline = t:now() + 10
  while #held < 3 do -- those that saw the ports listen may still be going away
    local c = b:client { port = #held % 2 == 0 and b.ports.port or b.ports.more_port }
    local got = c:try_next()
    if got and got.reason == 0 then held[#held + 1] = c end
    t:check(t:now() < deadline, "three are not let in")
  end
  for _, port in pairs(b.ports) do
    local got = b:client { port = port }:try_next()
    t:check(not got or got.reason >= 0x80, "a fourth was let in")
  end
  for _, c in ipairs(held) do c:ping() end
end)

story("max_sessions counts sessions without a connection too", "MQTT-4.13.1-1/5", function(t)
  local b = t:own_broker(limits "max_sessions 3;")
  for i = 1, 3 do b:join { id = t.topic .. i,
    properties = { session_expiry = 60 } }:disconnect() end
  local c = b:client { id = t.topic .. "4" }
  t:check(c:expect { "CONNACK" }.reason >= 0x80, "a fourth session was made")
  c:expect_closed()
  b:join { id = t.topic .. "1", clean_start = true }:disconnect() -- now one ends
  b:join { id = t.topic .. "4" }:ping()
end)

story("max_pending_connects bounds those that have not been let in", "MQTT-4.8.0-2/3.1.1",
  function(t)
  local b = t:own_broker(limits "max_pending_connects 5; connect_timeout 20s;")
  local silent = {}
  for i = 1, 30 do silent[i] = link.try_open(b:where()) end
  local closed = 0
  for _, stream in pairs(silent) do
    local bytes, why = stream:recv(host.now() + 0.3)
    if not bytes and why == "closed" then closed = closed + 1 end
  end
  t:check(closed >= 24, "only %d of 30 were turned away", closed)
  for _, stream in pairs(silent) do stream:close() end
  local deadline = t:now() + 10
  repeat
    local got = b:client():try_next()
    t:check(t:now() < deadline, "nobody is let in afterwards")
  until got and got.reason == 0
end)

story("connect_rate lets some in and tells the others", "MQTT-4.13.1-1/5", function(t)
  local b = t:own_broker(limits "connect_rate 10/s;")
  local let, told = 0, 0
  local all = {}
  for i = 1, 60 do all[i] = b:client() end
  for _, c in ipairs(all) do
    local got = c:try_next()
    if got and got.reason == 0 then
      let = let + 1
      c:ping()
    else
      told = told + 1
      if got then t:check(got.reason == 0x9F or got.reason == 0x89, "told %s", show(got)) end
    end
  end
  t:check(let >= 8 and let <= 40, "%d of 60 were let in at 10 a second", let)
  t:pass(1.2)
  b:join():ping()
end)

story("memory_limit holds publishers back and lets go again", "MQTT-4.9.0-3/5", function(t)
  local b = t:own_broker("memory_limit 4m;\n"
    .. limits "max_queue_bytes 64m; max_queue_messages 100000; max_inflight 1;",
    { lean = true })
  local c, p = b:join(), b:join()
  c:subscribe(t.topic, 1)
  local one = mqtt.encode({ "PUBLISH", topic = t.topic, payload = ("x"):rep(10000), qos = 1,
    id = 1 }, 4)
  p:disconnect()
  p = b:join { version = 4 }
  local bytes, sent = one:rep(50), 0
  local deadline = t:now() + 5
  while t:now() < deadline and sent < 40000000 do -- 40 MB are offered
    local n = p.stream:try_send(bytes, sent % #one + 1)
    sent = sent + n
    if n == 0 then
      t:pass(0.2)
      n = p.stream:try_send(bytes, sent % #one + 1)
      sent = sent + n
      if n == 0 then break end
    end
  end
  t:check(sent < 30000000, "%d bytes were taken with 4 MB of memory", sent)
  -- other clients are served meanwhile, and draining the queue opens the door again
  b:join():ping()
  local first = c:expect { "PUBLISH" }
  c:finish(first)
  for _ = 1, 300 do c:receive() end
  t:check(p.stream:try_send(bytes, sent % #one + 1) > 0 or p:try_next(),
    "the publisher is held for ever")
end, { alone = true })
