-- DISCONNECT from either side, and errors that end a connection.

local function cause_errors(b, topic)
  local causes = {
    { "CONNECT", id = topic }, { "PUBLISH", topic = "a/#" }, { "PUBLISH", topic = topic, qos = 3,
      id = 1 },
    { "SUBSCRIBE", id = 1, filters = {} }, { "SUBSCRIBE", id = 0, filters = { { "a", 0 } } },
    { "UNSUBSCRIBE", id = 1, filters = {} }, { "PUBLISH", topic = "\xff" },
    { "SUBSCRIBE", id = 1, filters = { { "a", options = 3 } } }, { "PINGREQ", flags = 1 },
    { "PINGREQ", length = "\xff\xff\xff\xff\x7f" },
  }
  local i = 0
  return function()
    i = i + 1
    if causes[i] then
      local c = b:join { id = topic .. i }
      c:send(causes[i])
      return c
    end
  end
end

story.both("every violation ends the connection, and only that one",
  "MQTT-4.8.0-1/3.1.1 MQTT-4.13.1-1/5 MQTT-4.13.2-1/5 MQTT-3.14.4-2/5 MQTT-3.14.2-1/5", function(t)
  local b = t:broker()
  local other = b:join()
  for c in cause_errors(b, t.topic) do c:expect_dropped { 0x81, 0x82, 0x90, 0x8F } end
  other:ping()
end)

story("5: nothing is sent after DISCONNECT", "MQTT-3.14.4-1/5 MQTT-3.14.4-2/5", function(t)
  local mqtt = require "mqtt"
  local b = t:broker()
  local c = b:join()
  c:subscribe(t.topic, 1)
  -- what follows the violation in the same write is not answered
  c:send_bytes(mqtt.encode({ "SUBSCRIBE", id = 1, filters = {} }, 5) .. mqtt.encode({ "PINGREQ" },
    5)
    .. mqtt.encode({ "PUBLISH", topic = t.topic, payload = "x", qos = 1, id = 5 }, 5))
  c:expect_dropped { 0x81, 0x82 }
end)

story.both("what follows a client's DISCONNECT is not carried out",
  "MQTT-3.14.4-1/5 MQTT-3.14.4-3", function(t, version)
  local mqtt = require "mqtt"
  local b = t:broker()
  local watcher = b:join()
  watcher:subscribe(t.topic)
  local c = b:join()
  c:send_bytes(mqtt.encode({ "DISCONNECT" }, version)
    .. mqtt.encode({ "PUBLISH", topic = t.topic, payload = "late" }, version))
  c:expect_closed()
  watcher:expect_nothing()
end)

story.both("what came before DISCONNECT in the same write is carried out", "MQTT-4.3.1-1",
  function(t, version)
  local mqtt = require "mqtt"
  local b = t:broker()
  local watcher = b:join()
  watcher:subscribe(t.topic)
  local c = b:socket { id = t.topic }
  c:send_bytes(mqtt.encode({ "CONNECT", id = t.topic }, version)
    .. mqtt.encode({ "PUBLISH", topic = t.topic, payload = "in time" }, version)
    .. mqtt.encode({ "DISCONNECT" }, version))
  c:expect { "CONNACK", reason = 0 }
  c:expect_closed()
  watcher:receive { payload = "in time" }
end)

story("5: reason codes a client may not send are errors", "MQTT-4.13.1-1/5", function(t)
  local b = t:broker()
  for _, reason in ipairs { 0x01, 0x02, 0x10, 0x18, 0x7f, 0xff } do
    local c = b:join()
    c:send { "DISCONNECT", reason = reason }
    local got = c:try_next()
    t:check(not got or got[1] == "DISCONNECT", "got %s", require("wire").show(got))
  end
end)

story("5: clients are told when the broker shuts down", "MQTT-3.14.2-1/5 MQTT-3.14.4-2/5",
  function(t)
  local b = t:own_broker()
  local five, four = b:join { version = 5 }, b:join { version = 4 }
  b:signal "TERM"
  five:expect_dropped(0x8B)
  four:expect_closed()
  local how, code = b:wait_end()
  t:check(how == "exit" and code == 0, "ended with %s %s", how, code)
end)

story.both("a broker told to stop publishes no will twice and ends with status 0",
  "MQTT-4.8.0-2/3.1.1", function(t)
  local b = t:own_broker()
  local began = t:now()
  for i = 1, 20 do
    b:join { will = { topic = t.topic, payload = tostring(i) } }:subscribe(t.topic .. "/" .. i, 1)
  end
  b:signal "INT"
  local how, code = b:wait_end()
  t:check(how == "exit" and code == 0, "ended with %s %s", how, code)
  t:check(t:now() - began < 10, "took %.1f s", t:now() - began)
end)

story("the broker listens within two seconds of its start", "MQTT-7.1.1-1/3.1.1", function(t)
  local began = t:now()
  t:own_broker()
  t:check(t:now() - began < 2, "took %.2f s", t:now() - began)
end, { alone = true })
