-- Wills when the broker ends: the connection is over, so they are due; but each only once, and none
-- that was taken back.
local again = require "again"

-- A client with a will; more: of the will; expiry: of the session.
local function keep(t, more, expiry)
  local will
  if more then
    will = { topic = t.topic .. "/will", payload = "gone", qos = 1 }
    for k, v in pairs(more) do will[k] = v end
  end
  return again.keep(t, { will = will, properties = { session_expiry = expiry or 3600 } })
end

-- Who takes note of each will, also while it is away.
local function watcher(t, b)
  local w = b:join(again.keep(t, { id = t.topic .. "watcher" }))
  if not w.connack.session_present then w:subscribe(t.topic .. "/will", 2) end
  return w
end

local function delay(seconds) return { properties = { will_delay = seconds } } end

story.all("a client connected when the broker is killed has its will published, once",
  "MQTT-3.1.2-8 MQTT-3.1.2-10", function(t)
  local b = t:own_broker()
  watcher(t, b)
  b:join(keep(t, { payload = "last words" }))
  again.crash(b)
  local w = watcher(t, b)
  w:receive { payload = "last words", topic = t.topic .. "/will", retain = false, qos = 1 }
  again.fence(w)
  again.crash(b)
  w = watcher(t, b)
  t:pass(1.1) -- the tick that publishes wills has passed
  w:expect_nothing()
end)

story.both("even if that client is back at once", "MQTT-3.1.2-8", function(t)
  local b = t:own_broker()
  watcher(t, b)
  b:join(keep(t, {}))
  again.crash(b)
  t:check(b:join(keep(t)).connack.session_present, "the session is gone")
  local w = watcher(t, b)
  w:receive { payload = "gone" }
  w:expect_nothing()
end)

story.both("a client connected when the broker is stopped has its will published, once",
  "MQTT-3.1.2-8 MQTT-3.1.2-10", function(t)
  local b = t:own_broker()
  watcher(t, b)
  b:join(keep(t, {}))
  b:restart()
  local w = watcher(t, b)
  w:receive { payload = "gone" }
  w:expect_nothing()
  again.fence(w)
  b:restart()
  w = watcher(t, b)
  t:pass(1.1)
  w:expect_nothing()
end)

again.story("5: all that belongs to a will is there after the restart",
  "MQTT-3.1.2-9/5 MQTT-3.1.3-10/5 MQTT-3.1.2-14/5 MQTT-3.1.2-15/5", function(t, restart)
  local b = t:own_broker()
  watcher(t, b)
  local user = { { "b", "1" }, { "a", "2" }, { "b", "3" } }
  b:join(keep(t, { payload = "\0\255", qos = 2, retain = true, properties = {
    payload_format = 0, message_expiry = 1000, content_type = "text", response_topic = "answer",
    correlation_data = "\0\1", user = user, will_delay = 2,
  } }))
  restart(b)
  local w = watcher(t, b)
  local got = w:receive { payload = "\0\255", qos = 2, retain = false, properties = {
    payload_format = 0, message_expiry = function(n) return n > 900 and n <= 1000 end,
    content_type = "text", response_topic = "answer", correlation_data = "\0\1",
    will_delay = false,
  } }
  for i, pair in ipairs(user) do t:equal(got.properties.user[i][2], pair[2], "user property") end
  local late = b:join()
  late:subscribe(t.topic .. "/#", 2)
  late:receive { payload = "\0\255", qos = 2, retain = true }
end)

story("5: with a delay the kill is when it begins", "MQTT-3.1.2-8/5", function(t)
  local b = t:own_broker()
  watcher(t, b)
  b:join(keep(t, delay(2)))
  b:kill()
  local began = t:now()
  b:restart()
  local w = watcher(t, b)
  w:receive { payload = "gone" }
  local took = t:now() - began
  t:check(took >= 1.99, "published after %.2f s", took)
end)

again.story("5: a delay that runs when the broker ends goes on, and is not early", "MQTT-3.1.2-8/5",
  function(t, restart)
  local b = t:own_broker()
  local w = watcher(t, b)
  local c = b:join(keep(t, delay(4)))
  local began = t:now()
  c:disconnect { reason = 4 }
  again.fence(w)
  t:pass(1)
  restart(b)
  local again_at = t:now() - began
  w = watcher(t, b)
  w:receive { payload = "gone" }
  local took = t:now() - began
  t:check(took >= 3.9, "published after %.2f s", took)
  -- from the restart on it would have been 4 s more
  t:check(again_at > 3 or took < again_at + 4,
    "published only after %.2f s, the restart was at %.2f",
    took, again_at)
  w:expect_nothing()
end)

again.story("5: a delay that ended while the broker was away is over", "MQTT-3.1.2-8/5",
  function(t, restart)
  local b = t:own_broker()
  local w = watcher(t, b)
  b:join(keep(t, delay(1))):disconnect { reason = 4 }
  again.fence(w)
  b:kill()
  t:pass(1.2)
  restart(b)
  watcher(t, b):receive { payload = "gone" }
end)

again.both("a client that left in order has no will published", "MQTT-3.14.4-3 MQTT-3.1.2-10",
  function(t, restart)
  local b = t:own_broker()
  local w = watcher(t, b)
  b:join(keep(t, {})):disconnect()
  again.fence(w)
  restart(b)
  w = watcher(t, b)
  t:pass(1.1)
  w:expect_nothing()
end)

again.both("nor when it comes back without one, and the broker ends again",
  "MQTT-3.14.4-3 MQTT-3.1.2-10",
  function(t, restart)
  local b = t:own_broker()
  local w = watcher(t, b)
  b:join(keep(t, {})):disconnect()
  again.fence(w)
  restart(b)
  b:join(keep(t))
  restart(b)
  w = watcher(t, b)
  t:pass(1.1)
  w:expect_nothing()
end)

again.both("a will that was published before does not come back with the session", "MQTT-3.1.2-10",
  function(t, restart)
  local b = t:own_broker()
  local w = watcher(t, b)
  b:join(keep(t, {})):abort()
  w:receive { payload = "gone" }
  again.fence(w)
  local c = b:join(keep(t))
  restart(b)
  c = b:join(keep(t))
  restart(b)
  w = watcher(t, b)
  t:pass(1.1)
  w:expect_nothing()
end)

again.both("a new will takes the place of the old one", "MQTT-3.1.2-8 MQTT-3.1.2-10",
  function(t, restart)
  local b = t:own_broker()
  local w = watcher(t, b)
  b:join(keep(t, { payload = "first" })):disconnect()
  b:join(keep(t, { payload = "second" }))
  restart(b)
  w = watcher(t, b)
  w:receive { payload = "second" }
  w:expect_nothing()
end)

again.story("5: a client back before the delay is over has no will published", "MQTT-3.1.3-9/5",
  function(t, restart)
  local b = t:own_broker()
  watcher(t, b)
  b:join(keep(t, delay(3)))
  restart(b)
  local c = b:join(keep(t))
  t:check(c.connack.session_present, "the session is gone")
  local w = watcher(t, b)
  t:pass(4.2)
  w:expect_nothing()
  restart(b) -- and it is not there any more
  w = watcher(t, b)
  t:pass(1.1)
  w:expect_nothing()
end)

again.story("5: the will is published when the session ends before its delay does",
  "MQTT-3.1.2-8/5",
  function(t, restart)
  local b = t:own_broker()
  watcher(t, b)
  b:join(keep(t, delay(3600), 2))
  restart(b)
  local w = watcher(t, b)
  w:receive { payload = "gone" }
  t:check(not b:join(keep(t)).connack.session_present, "the session is still there")
end)

again.story("5: a clean start after the restart publishes the delayed will", "MQTT-3.1.2-8/5",
  function(t, restart)
  local b = t:own_broker()
  watcher(t, b)
  b:join(keep(t, delay(3600)))
  restart(b)
  local w = watcher(t, b)
  b:join { id = t.topic }
  w:receive { payload = "gone" }
  w:expect_nothing()
end)

again.both("wills behind a mount point stay there", "MQTT-3.1.2-8", function(t, restart)
  local b = t:own_broker([[
    listener mqtt { bind 127.0.0.1:${port}; }
    listener tenant { bind 127.0.0.1:${tenant_port}; mount_point tenant/; }
  ]])
  local w = b:join(again.keep(t, { id = "watcher" }))
  w:subscribe("tenant/" .. t.topic .. "/will", 1)
  local o = keep(t, {})
  o.port = b.ports.tenant_port
  b:join(o)
  restart(b)
  w = b:join(again.keep(t, { id = "watcher" }))
  w:receive { topic = "tenant/" .. t.topic .. "/will", payload = "gone" }
end)
