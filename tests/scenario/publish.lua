-- Order, and what a PUBLISH may not carry.

-- Messages numbered by publisher and QoS; each stream must arrive counting up.
local function check_order(t, c, total, last)
  for _ = 1, total do
    local m = c:receive()
    local stream, n = m.payload:match("^(%S+) (%d+)$")
    n = tonumber(n)
    t:equal(n, (last[stream] or 0) + 1, "the next number of " .. stream)
    last[stream] = n
  end
end

story.both("messages of one publisher, topic and QoS keep their order",
  "MQTT-4.6.0-5 MQTT-4.6.0-6", function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe(t.topic .. "/#", 2)
  for i = 1, 120 do
    c:publish { topic = t.topic .. "/" .. i % 2, payload = ("t%dq%d %d"):format(i % 2, i % 3,
      (i - 1) // 6 + 1),
      qos = i % 3 }
  end
  check_order(t, c, 120, {})
end)

story.both("several publishers at once keep their order each", "MQTT-4.6.0-5 MQTT-4.6.0-6",
  function(t, version)
  local mqtt = require "mqtt"
  local b = t:broker()
  local watchers = {}
  for i = 1, 3 do
    watchers[i] = b:join()
    watchers[i]:subscribe(t.topic, i - 1)
  end
  local publishers, count = {}, 40
  for i = 1, 4 do publishers[i] = b:join() end
  for round = 1, count // 10 do
    for i, p in ipairs(publishers) do
      local bytes = {}
      for n = 1, 10 do
        bytes[n] = mqtt.encode({ "PUBLISH", topic = t.topic, qos = 1, id = n,
          payload = ("p%d %d"):format(i, (round - 1) * 10 + n) }, version)
      end
      p:send_bytes(table.concat(bytes))
    end
    for _, p in ipairs(publishers) do
      for n = 1, 10 do p:expect { "PUBACK", id = n, reason = 0 } end
    end
  end
  for _, w in ipairs(watchers) do check_order(t, w, 4 * count, {}) end
end)

story.both("order holds through a stored queue", "MQTT-4.6.0-5 MQTT-4.6.0-6", function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:subscribe(t.topic, 1)
  c:abort()
  local p = b:join()
  for i = 1, 300 do p:publish { topic = t.topic, payload = "s " .. i, qos = 1 } end
  c = b:join(keep)
  local last = {}
  check_order(t, c, 150, last)
  for i = 301, 350 do p:publish { topic = t.topic, payload = "s " .. i, qos = 1 } end
  check_order(t, c, 200, last)
  c:expect_nothing()
end)

story("5: a client may not send a subscription identifier", "MQTT-3.3.4-6/5", function(t)
  local c = t:broker():join()
  c:send { "PUBLISH", topic = t.topic, properties = { subscription_id = 1 } }
  c:expect_dropped { 0x81, 0x82 }
end)

story.both("the topic is the first field, and may not be empty", "MQTT-3.3.2-1 MQTT-4.7.3-1",
  function(t)
  local c = t:broker():join()
  c:send { "PUBLISH", topic = "", payload = "x" }
  c:expect_dropped { 0x81, 0x82, 0x90 }
end)

story.both("payloads are bytes of any kind and size", "MQTT-3.3.2-1", function(t)
  local c = t:broker():join()
  c:subscribe(t.topic, 0)
  local all = {}
  for i = 0, 255 do all[i + 1] = string.char(i) end
  local bytes = table.concat(all)
  for _, payload in ipairs { "", "\0", bytes, bytes:rep(4), bytes:rep(100), bytes:rep(300) } do
    c:publish { topic = t.topic, payload = payload }
    local p = c:receive()
    t:check(p.payload == payload, "%d bytes arrived as %d", #payload, #p.payload)
  end
end)

story.both("a publisher receives its own message", "MQTT-4.5.0-1", function(t)
  local c = t:broker():join()
  c:subscribe(t.topic, 2)
  for qos = 0, 2 do
    c:publish { topic = t.topic, payload = "me", qos = qos }
    c:receive { payload = "me", qos = qos }
  end
end)

story.both("PINGREQ gets PINGRESP, behind what came before", "MQTT-3.12.4-1", function(t)
  local c = t:broker():join()
  for _ = 1, 20 do c:send { "PINGREQ" } end
  for _ = 1, 20 do c:expect { "PINGRESP" } end
  c:expect_nothing()
end)
