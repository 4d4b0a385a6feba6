-- Time does not stand still while the broker is away, nor does it begin anew.
local again = require "again"

local function keep(t, expiry)
  return again.keep(t, { properties = { session_expiry = expiry } })
end

-- Ends the broker, lets time pass while it is away, and starts it.
local function away(t, b, restart, seconds)
  if restart == again.crash then b:kill() else b:stop() end
  t:pass(seconds)
  b:restart()
  b:check_ledger()
end

again.story("5: a session expires while the broker is away",
  "MQTT-4.1.0-2/5 MQTT-3.2.2-3/5 MQTT-3.1.2-23/5",
  function(t, restart)
  local b = t:own_broker()
  local p = b:join()
  local c = b:join(keep(t, 1))
  c:subscribe(t.topic, 1)
  c:disconnect()
  p:publish { topic = t.topic, payload = "too late", qos = 1 }
  away(t, b, restart, 1.2)
  c = b:join(keep(t, 3600)) -- at once: nothing has swept yet
  t:check(not c.connack.session_present, "it is still there")
  c:subscribe(t.topic, 1)
  c:expect_nothing()
end)

again.story("5: what was left of a session's time is what is left",
  "MQTT-4.1.0-2/5 MQTT-3.1.2-23/5",
  function(t, restart)
  local b = t:own_broker()
  local function lasting(i)
    return again.keep(t, { id = t.topic .. i, properties = { session_expiry = i } })
  end
  local began = t:now()
  for i = 1, 6 do b:join(lasting(i)):disconnect() end
  again.fence(b:join())
  t:pass(2)
  away(t, b, restart, 1.2)
  for i = 6, 1, -1 do
    local before = t:now() - began
    local present = b:join(lasting(i)).connack.session_present
    local after = t:now() - began
    if after < i then t:check(present, "%d s session gone after %.2f s", i, after) end
    if before > i + 1.2 then t:check(not present, "%d s session there after %.2f s", i, before) end
  end
end)

again.story("5: the time of a client connected at the end begins with the end",
  "MQTT-4.1.0-2/5 MQTT-3.1.2-23/5", function(t, restart)
  local b = t:own_broker()
  b:join(keep(t, 2)):subscribe(t.topic, 1)
  local long = b:join(again.keep(t, { id = t.topic .. "long",
    properties = { session_expiry = 60 } }))
  long:subscribe(t.topic, 1)
  t:pass(2.2) -- connected: it does not run
  restart(b)
  restart(b) -- and does not begin anew with each start
  t:pass(3.3)
  t:check(not b:join(keep(t, 2)).connack.session_present, "it is still there")
  local o = again.keep(t, { id = t.topic .. "long" })
  t:check(b:join(o).connack.session_present, "the longer one is gone")
end)

again.story("5: a session given up by its client ends with the broker",
  "MQTT-4.1.0-2/5 MQTT-3.1.2-23/5",
  function(t, restart)
  local b = t:own_broker()
  local c = b:join(keep(t, 3600))
  c:subscribe(t.topic, 1)
  c:disconnect()
  c = b:join(keep(t, 0)) -- resumed, for this connection only
  t:check(c.connack.session_present, "it was not there")
  restart(b)
  c = b:join(keep(t, 3600))
  t:check(not c.connack.session_present, "it is still there")
end)

again.story("5: DISCONNECT's session expiry is the one that counts",
  "MQTT-4.1.0-2/5 MQTT-3.1.2-23/5",
  function(t, restart)
  local b = t:own_broker()
  local ids = { t.topic .. "shorter", t.topic .. "ended", t.topic .. "longer" }
  local values = { 1, 0, 3600 }
  for i, id in ipairs(ids) do
    b:join(again.keep(t, { id = id, properties = { session_expiry = 2 } })):disconnect {
      properties = { session_expiry = values[i] } }
  end
  again.fence(b:join())
  t:pass(1.2) -- an end is not waited for by anybody: the tick has passed
  away(t, b, restart, 1.2)
  for i, id in ipairs(ids) do
    local c = b:join(again.keep(t, { id = id }))
    t:equal(c.connack.session_present, i == 3, id .. ": session present")
  end
end)

again.both("messages count down, and the expired are gone", "MQTT-3.3.2-5/5 MQTT-3.3.2-6/5",
  function(t, restart, version)
  local b = t:own_broker()
  local c = b:join(again.keep(t))
  c:subscribe(t.topic, 2)
  c:disconnect()
  local p, began = b:join { version = 5 }, t:now()
  for qos = 1, 2 do
    for _, expiry in ipairs { 1, 1000 } do
      p:publish { topic = t.topic, payload = ("%d at %d"):format(expiry, qos), qos = qos,
        properties = { message_expiry = expiry } }
    end
    p:publish { topic = t.topic, payload = "for ever", qos = qos }
  end
  -- those that are sent again at QoS 2 do not expire: they may have been on the way
  away(t, b, restart, 1.2)
  again.fence(b:join())
  c = b:join(again.keep(t))
  local seen = {}
  for _ = 1, 40 do
    c:ping()
    local got = table.remove(c.inbox, 1)
    if not got then break end
    seen[got.payload] = got
    c:finish(got)
  end
  t:check(not seen["1 at 1"], "an expired message was delivered at QoS 1")
  for qos = 1, 2 do
    local got = seen["1000 at " .. qos]
    t:check(got, "the one with 1000 s is gone at QoS %d", qos)
    local left, passed = got.properties and got.properties.message_expiry, t:now() - began
    t:check(version == 4 or (left <= 999 and left >= 998 - passed), "%s s are left after %.2f s",
      left, passed)
  end
  t:check(seen["for ever"], "the one without expiry is gone")
end)

story("5: a QoS 2 message that was sent does not expire", "MQTT-4.3.3-7/5", function(t)
  local b = t:own_broker()
  local c = b:join(again.keep(t))
  c:subscribe(t.topic, 2)
  b:join():publish { topic = t.topic, payload = "short-lived", qos = 2,
    properties = { message_expiry = 1 } }
  local m = c:expect { "PUBLISH", qos = 2 }
  again.fence(c)
  b:kill()
  t:pass(1.2)
  b:restart()
  c = b:join(again.keep(t))
  c:receive { id = m.id, dup = true, payload = "short-lived" }
  c:expect_nothing()
end)
