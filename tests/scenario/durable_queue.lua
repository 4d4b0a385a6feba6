-- Limits of queues, and long queues, when the broker ends.
local again = require "again"
local mqtt = require "mqtt"
local keep = again.keep

for _, case in ipairs { { "drop_old", 6, 8, 0 }, { "drop_new", 1, 3, 0x97 } } do
  local policy, first, last, reason = table.unpack(case)
  again.both("queue_full " .. policy .. ": what was dropped stays dropped",
    "MQTT-4.5.0-1 MQTT-4.1.0-1",
    function(t, restart, version)
    local b = t:own_broker(("limits { max_queue_messages 3; queue_full %s; }"):format(policy))
    local c = b:join(keep(t))
    c:subscribe(t.topic, 2)
    c:disconnect()
    local p = b:join()
    for i = 1, 8 do
      local ack = p:publish { topic = t.topic, payload = tostring(i), qos = 1 + i % 2 }
      t:equal(ack.reason, version == 5 and i > 3 and reason or 0, "answer to " .. i)
    end
    restart(b)
    restart(b)
    c = b:join(keep(t))
    for i = first, last do c:receive { payload = tostring(i), qos = 1 + i % 2 } end
    c:expect_nothing()
    b:join():publish { topic = t.topic, payload = "next", qos = 1 }
    c:receive { payload = "next", dup = false }
  end)
end

again.both("drop_old with some in flight: those stay, and the limit holds after the restart too",
  "MQTT-4.5.0-1 MQTT-4.4.0-1", function(t, restart)
  local b = t:own_broker "limits { max_queue_messages 3; max_inflight 2; queue_full drop_old; }"
  local c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  local p, ids = b:join(), {}
  for i = 1, 8 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
  for i = 1, 2 do ids[i] = c:expect({ "PUBLISH", payload = tostring(i) }).id end
  again.fence(c)
  restart(b)
  p = b:join()
  for i = 9, 10 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
  c = b:join(keep(t))
  for i = 1, 2 do c:receive { payload = tostring(i), id = ids[i], dup = true } end
  for i = 8, 10 do c:receive { payload = tostring(i) } end
  c:expect_nothing()
  again.fence(c)
  restart(b)
  b:join(keep(t)):expect_nothing()
end)

again.both("the limit may be lower after the restart, and what is there stays", "MQTT-4.5.0-1",
  function(t, restart)
  local b = t:own_broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  c:disconnect()
  local p = b:join()
  for i = 1, 10 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
  if restart == again.crash then b:kill() end
  b:restart "limits { max_queue_messages 3; max_inflight 2; max_subscriptions 1; }"
  c = b:join(keep(t))
  for i = 1, 10 do c:receive { payload = tostring(i) } end
  c:expect_nothing()
end)

again.story("5: a message too large for the client that comes back is dropped for good",
  "MQTT-3.1.2-25/5 MQTT-3.1.2-24/5", function(t, restart)
  local b = t:own_broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 2)
  c:disconnect()
  local p = b:join()
  for qos = 1, 2 do p:publish { topic = t.topic, payload = ("x"):rep(500), qos = qos } end
  p:publish { topic = t.topic, payload = "fits", qos = 1 }
  restart(b)
  c = b:join(keep(t, { properties = { session_expiry = 3600, maximum_packet_size = 100 } }))
  c:receive { payload = "fits" }
  c:expect_nothing()
  again.fence(c)
  restart(b)
  b:join(keep(t)):expect_nothing()
end)

again.story("a long queue comes back whole and in order, to several clients",
  "MQTT-4.5.0-1 MQTT-4.6.0-5 MQTT-4.6.0-6", function(t, restart)
  local count = 5000
  local b = t:own_broker(
    "checkpoint_every 1m; limits { receive_maximum 65535; max_queue_messages 10000; }")
  local ids = { t.topic .. "a", t.topic .. "b", t.topic .. "c" }
  for _, id in ipairs(ids) do
    local c = b:join(keep(t, { id = id }))
    c:subscribe(t.topic, 2)
    c:disconnect()
  end
  local p, bytes = b:join(), {}
  for i = 1, count do
    bytes[i] = mqtt.encode({ "PUBLISH", topic = t.topic,
      payload = ("%d:"):format(i) .. ("."):rep(300),
      qos = 1, id = i }, p.version)
  end
  p:send_bytes(table.concat(bytes))
  for i = 1, count do p:expect { "PUBACK", id = i } end
  restart(b)
  t:equal(b:control("ledger").waiting, 3 * count, "waiting")
  for _, id in ipairs(ids) do
    local c = b:join(keep(t, { id = id }))
    for i = 1, count do
      local got = c:receive()
      t:equal(got.payload:match "^(%d+):", tostring(i), "the message")
    end
    c:expect_nothing()
    again.fence(c)
    if id == ids[1] then restart(b) end
  end
  restart(b)
  t:equal(b:control("ledger").waiting, 0, "waiting after all were received")
end, { alone = true })

again.both("half of a queue taken, the other half waits", "MQTT-4.4.0-1 MQTT-4.5.0-1",
  function(t, restart)
  local b = t:own_broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  c:disconnect()
  local p, taken = b:join(), 0
  for i = 1, 300 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
  for _ = 1, 3 do
    restart(b)
    c = b:join(keep(t))
    for i = taken + 1, taken + 80 do c:receive { payload = tostring(i) } end
    taken = taken + 80
    again.fence(c)
  end
  c:abort()
  restart(b)
  c = b:join(keep(t))
  for i = taken + 1, 300 do c:receive { payload = tostring(i) } end
  c:expect_nothing()
end)

again.both("acknowledgements keep the order of their messages, whatever needs the disk",
  "MQTT-3.3.4-1", function(t, restart)
  local b = t:own_broker "limits { receive_maximum 500; }"
  b:join(keep(t, { id = t.topic .. "s" })):subscribe(t.topic .. "/kept", 1)
  local p, bytes = b:join(), {}
  for id = 1, 300 do
    local topic = id % 3 == 0 and "/kept" or id % 3 == 1 and "/nobody" or "/retained"
    bytes[id] = mqtt.encode({ "PUBLISH", topic = t.topic .. topic, payload = tostring(id), qos = 1,
      id = id,
      retain = topic == "/retained" }, p.version)
  end
  p:send_bytes(table.concat(bytes))
  for id = 1, 300 do p:expect { "PUBACK", id = id } end
  restart(b)
  local c = b:join(keep(t, { id = t.topic .. "s" }))
  for id = 3, 300, 3 do c:receive { payload = tostring(id) } end
end)
