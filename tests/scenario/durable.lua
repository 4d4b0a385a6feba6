-- A broker that ends and starts again: sessions, subscriptions and queues are what they were.
local again = require "again"
local keep = again.keep

again.all("a session is there again, for clients of each version",
  "MQTT-4.1.0-1 MQTT-3.1.2-5 MQTT-3.2.2-2/3.1.1 MQTT-3.2.2-3/5 MQTT-3.1.2-23/5",
  function(t, restart, version)
  local b = t:own_broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  restart(b)
  c = b:join(keep(t))
  t:check(version == 3 or c.connack.session_present, "the session is gone")
  b:join():publish { topic = t.topic, payload = "x", qos = 1 }
  c:receive { payload = "x", qos = 1, dup = false }
end)

again.all("a session that was not kept is gone", "MQTT-3.2.2-3 MQTT-3.1.2-6/3.1.1 MQTT-4.1.0-2/5",
  function(t, restart)
  local b = t:own_broker()
  local c = b:join { id = t.topic }
  c:subscribe(t.topic, 1)
  again.fence(c)
  restart(b)
  local p = b:join()
  p:publish { topic = t.topic, payload = "nobody's", qos = 1 }
  c = b:join(keep(t))
  t:check(not c.connack.session_present, "a session came from nowhere")
  c:subscribe(t.topic, 1)
  c:expect_nothing()
end)

again.all("a session thrown away by a clean start stays thrown away",
  "MQTT-3.1.2-4/5 MQTT-3.1.2-6/3.1.1 MQTT-3.2.2-1/3.1.1 MQTT-3.2.2-2/5", function(t, restart)
  local b = t:own_broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  c:disconnect()
  local p = b:join()
  p:publish { topic = t.topic, payload = "old", qos = 1 }
  c = b:join { id = t.topic } -- its CONNACK says that what was there is gone for good
  t:check(not c.connack.session_present, "present after a clean start")
  restart(b)
  c = b:join(keep(t))
  t:check(not c.connack.session_present, "it is back")
  c:expect_nothing()
end)

again.both("messages wait in their order, with all that was said with them",
  "MQTT-3.1.2-5/3.1.1 MQTT-4.5.0-1 MQTT-4.6.0-6 MQTT-4.6.0-5 MQTT-3.3.2-4/5 MQTT-3.3.2-15/5 "
    .. "MQTT-3.3.2-16/5 "
  .. "MQTT-3.3.2-17/5 MQTT-3.3.2-18/5 MQTT-3.3.2-20/5", function(t, restart, version)
  local b = t:own_broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic .. "/+", 2)
  c:disconnect()
  local user = { { "b", "1" }, { "a", "2" }, { "b", "" } }
  local properties = { payload_format = 1, content_type = "text", response_topic = "answer",
    correlation_data = "\0\1\255", user = user }
  local p = b:join()
  for i = 1, 60 do
    p:publish { topic = t.topic .. "/" .. i % 3, payload = ("%d\0\255"):format(i), qos = 1 + i % 2,
      properties = i % 2 == 0 and properties or nil }
  end
  restart(b)
  c = b:join(keep(t))
  for i = 1, 60 do
    local got = c:receive { topic = t.topic .. "/" .. i % 3, payload = ("%d\0\255"):format(i),
      qos = 1 + i % 2, retain = false }
    if version == 5 and i % 2 == 0 then
      for name, value in pairs(properties) do
        if name ~= "user" then t:equal(got.properties[name], value, name) end
      end
      for j, pair in ipairs(user) do
        t:equal(got.properties.user[j][1], pair[1], "name " .. j)
        t:equal(got.properties.user[j][2], pair[2], "value " .. j)
      end
    end
  end
  c:expect_nothing()
end)

again.both("what was acknowledged does not come again, what was not does",
  "MQTT-4.4.0-1 MQTT-4.3.2-3/5 MQTT-4.3.2-1/3.1.1 MQTT-3.3.1-1", function(t, restart)
  local b = t:own_broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  local p, ids = b:join(), {}
  for i = 1, 12 do
    p:publish { topic = t.topic, payload = tostring(i), qos = 1 }
    ids[i] = c:expect { "PUBLISH", payload = tostring(i), dup = false }.id
  end
  for i = 1, 12 do
    if i % 3 ~= 0 then c:send { "PUBACK", id = ids[i] } end
  end
  again.fence(c)
  restart(b)
  c = b:join(keep(t))
  for i = 3, 12, 3 do c:receive { payload = tostring(i), id = ids[i], dup = true, qos = 1 } end
  c:expect_nothing()
  -- and the id after the last is the next one's
  b:join():publish { topic = t.topic, payload = "new", qos = 1 }
  c:receive { payload = "new", id = ids[12] + 1, dup = false }
end)

again.both("an unsubscription stays", "MQTT-3.1.2-5/3.1.1 MQTT-4.1.0-1", function(t, restart)
  local b = t:own_broker()
  local c = b:join(keep(t))
  c:subscribe { { t.topic .. "/a", 1 }, { t.topic .. "/b", 1 } }
  c:unsubscribe(t.topic .. "/a")
  restart(b)
  local p = b:join()
  p:publish { topic = t.topic .. "/a", payload = "a", qos = 1 }
  p:publish { topic = t.topic .. "/b", payload = "b", qos = 1 }
  c = b:join(keep(t))
  c:receive { payload = "b" }
  c:expect_nothing()
end)

again.story("5: subscriptions keep their options and identifiers",
  "MQTT-4.1.0-1/5 MQTT-3.8.3-3/5 MQTT-3.3.1-12/5 MQTT-3.3.1-13/5 MQTT-3.3.1-10/5 MQTT-3.3.4-3/5 "
    .. "MQTT-3.3.4-4/5 "
  .. "MQTT-3.8.4-8/5", function(t, restart)
  local b = t:own_broker()
  local c = b:join(keep(t))
  local function at(name) return t.topic .. "/" .. name end
  for qos = 0, 2 do c:subscribe { { at("qos" .. qos), qos = qos } } end
  c:subscribe { { at "local", qos = 1, no_local = true } }
  c:subscribe { { at "plain", qos = 1 } }
  c:subscribe { { at "rap", qos = 1, retain_as_published = true } }
  c:subscribe { { at "once", qos = 1, retain_handling = 1 } }
  c:subscribe { { at "id", qos = 1 }, properties = { subscription_id = 7 } }
  c:subscribe { { at "id/#", qos = 2 }, properties = { subscription_id = 268435455 } }
  restart(b)
  c = b:join(keep(t))
  local p = b:join()
  for qos = 0, 2 do
    p:publish { topic = at("qos" .. qos), payload = "q", qos = 2 }
    c:receive { payload = "q", qos = qos, properties = { subscription_id = false } }
  end
  c:publish { topic = at "local", payload = "mine", qos = 1 }
  p:publish { topic = at "local", payload = "another's", qos = 1 }
  c:receive { payload = "another's" }
  p:publish { topic = at "plain", payload = "r", qos = 1, retain = true }
  c:receive { payload = "r", retain = false }
  p:publish { topic = at "rap", payload = "r", qos = 1, retain = true }
  c:receive { payload = "r", retain = true }
  p:publish { topic = at "once", payload = "kept", qos = 1, retain = true }
  c:receive { payload = "kept" }
  c:subscribe { { at "once", qos = 1, retain_handling = 1 } } -- it is not a new one
  c:expect_nothing()
  p:publish { topic = at "id", payload = "both", qos = 2 }
  local got = c:receive { payload = "both", qos = 2 }
  table.sort(got.properties.subscription_id)
  t:equal(table.concat(got.properties.subscription_id, " "), "7 268435455", "identifiers")
  c:expect_nothing()
end)

again.story("5: identifiers and the retain flag wait in the queue too",
  "MQTT-3.3.4-3/5 MQTT-3.3.4-4/5 MQTT-3.3.1-13/5 MQTT-3.3.2-6/5", function(t, restart)
  local b = t:own_broker()
  local c = b:join(keep(t))
  c:subscribe { { t.topic, qos = 1 }, properties = { subscription_id = 1 } }
  c:subscribe { { t.topic .. "/#", qos = 2, retain_as_published = true },
    properties = { subscription_id = 2 } }
  c:subscribe { { "+/" .. t.topic, qos = 1 } }
  local other = b:join(keep(t, { id = t.topic .. "other" }))
  other:subscribe { { t.topic, qos = 1 }, properties = { subscription_id = 9 } }
  c:disconnect()
  other:disconnect()
  local p = b:join()
  p:publish { topic = t.topic, payload = "both", qos = 2, retain = true,
    properties = { message_expiry = 1000, user = { { "k", "v" } } } }
  p:publish { topic = t.topic .. "/deep", payload = "one", qos = 2 }
  p:publish { topic = "x/" .. t.topic, payload = "none", qos = 2 }
  restart(b)
  c = b:join(keep(t))
  local got = c:receive { payload = "both", qos = 2, retain = true }
  table.sort(got.properties.subscription_id)
  t:equal(table.concat(got.properties.subscription_id, " "), "1 2", "identifiers")
  t:equal(got.properties.user[1][2], "v", "user property")
  t:check(got.properties.message_expiry <= 1000 and got.properties.message_expiry > 900,
    "expiry %s", got.properties.message_expiry)
  got = c:receive { payload = "one", qos = 2 }
  t:equal(table.concat(got.properties.subscription_id, " "), "2", "identifiers")
  c:receive { payload = "none", qos = 1, properties = { subscription_id = false } }
  c:expect_nothing()
  got = b:join(keep(t, { id = t.topic .. "other" })):receive { payload = "both", qos = 1,
    retain = false }
  t:equal(table.concat(got.properties.subscription_id, " "), "9", "identifiers")
end)

again.both("a shared group has the same members", "MQTT-4.1.0-1 MQTT-4.8.2-3/5",
  function(t, restart)
  local b = t:own_broker()
  local ids, members = { t.topic .. "a", t.topic .. "b" }, {}
  for i, id in ipairs(ids) do
    members[i] = b:join(keep(t, { id = id }))
    members[i]:subscribe("$share/g/" .. t.topic, 1)
  end
  restart(b)
  for i, id in ipairs(ids) do members[i] = b:join(keep(t, { id = id })) end
  local p, got = b:join(), {}
  for i = 1, 20 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
  for i, m in ipairs(members) do
    m:ping()
    got[i] = #m.inbox
    for _ = 1, #m.inbox do m:receive() end
  end
  t:equal(got[1] + got[2], 20, "messages for the group")
  t:check(got[1] > 0 and got[2] > 0, "one member got them all")
end)

again.story("5: what a member of a shared group left behind waits with the other one",
  "MQTT-4.8.2-4/5 MQTT-4.5.0-1", function(t, restart)
  local b = t:own_broker()
  local stays = b:join(keep(t, { id = t.topic .. "stays" }))
  local goes = b:join(keep(t, { id = t.topic .. "goes" }))
  goes:subscribe("$share/g/" .. t.topic, 1)
  local p = b:join()
  for i = 1, 8 do
    p:publish { topic = t.topic, payload = tostring(i), qos = 1 }
    goes:expect { "PUBLISH", payload = tostring(i) }
  end
  stays:subscribe("$share/g/" .. t.topic, 1)
  goes:disconnect { properties = { session_expiry = 0 } }
  for i = 1, 8 do stays:expect { "PUBLISH", payload = tostring(i) } end
  again.fence(stays)
  restart(b)
  stays = b:join(keep(t, { id = t.topic .. "stays" }))
  for i = 1, 8 do stays:receive { payload = tostring(i), dup = true } end
  stays:expect_nothing()
  t:check(not b:join(keep(t, { id = t.topic .. "goes" })).connack.session_present, "it is back")
end)

again.both("a session behind a mount point is its own", "MQTT-4.1.0-1", function(t, restart)
  local b = t:own_broker([[
    listener mqtt { bind 127.0.0.1:${port}; }
    listener tenant { bind 127.0.0.1:${tenant_port}; mount_point tenant/; }
  ]])
  local function inside(more)
    local o = keep(t, more)
    o.port = b.ports.tenant_port
    return b:join(o)
  end
  local c = inside()
  c:subscribe(t.topic, 1)
  c:disconnect()
  local p = b:join()
  p:publish { topic = "tenant/" .. t.topic, payload = "in", qos = 1 }
  p:publish { topic = t.topic, payload = "outside", qos = 1 }
  restart(b)
  c = inside()
  t:check(c.connack.session_present, "the session is gone")
  c:receive { topic = t.topic, payload = "in" }
  b:join():publish { topic = "tenant/" .. t.topic, payload = "later", qos = 1 }
  c:receive { topic = t.topic, payload = "later" }
  c:expect_nothing()
  c:disconnect()
  t:check(not b:join(keep(t)).connack.session_present, "seen from outside")
end)

again.both("a session belongs to its user", "MQTT-3.1.4-2/5", function(t, restart)
  local b = t:own_broker()
  local function as(user) return keep(t, { username = user, password = user and "p" or nil }) end
  b:join(as "anna"):subscribe(t.topic, 1)
  local nobody = keep(t, { id = t.topic .. "nobody" })
  b:join(nobody):subscribe(t.topic, 1)
  restart(b)
  b:client(as "bert"):expect_refused(0x87, 5)
  b:client(as(nil)):expect_refused(0x87, 5)
  local o = as "bert"
  o.clean_start = true
  b:client(o):expect_refused(0x87, 5)
  o = as "anna"
  o.id = nobody.id
  b:client(o):expect_refused(0x87, 5)
  t:check(b:join(as "anna").connack.session_present, "anna's session is gone")
  t:check(b:join(nobody).connack.session_present, "the session of nobody in particular is gone")
end)

again.story("a client may come back with another version of MQTT", "MQTT-4.1.0-1 MQTT-3.1.2-5",
  function(t, restart)
  local b = t:own_broker()
  for _, pair in ipairs { { 3, 5 }, { 5, 4 }, { 4, 5 }, { 5, 3 } } do
    local id = ("%s-%d%d"):format(t.topic, pair[1], pair[2])
    local c = b:join(keep(t, { id = id, version = pair[1] }))
    c:subscribe(id, 2)
    c:disconnect()
    b:join():publish { topic = id, payload = "x", qos = 2, properties = { content_type = "c" } }
    restart(b)
    c = b:join(keep(t, { id = id, version = pair[2] }))
    c:receive { payload = "x", qos = 2 }
    c:expect_nothing()
  end
end)

again.both("four ends in a row, with traffic in between",
  "MQTT-4.1.0-1 MQTT-4.4.0-1 MQTT-4.3.2-3/5 MQTT-4.6.0-6 MQTT-4.6.0-5", function(t, restart)
  local b = t:own_broker()
  local c, open, n = b:join(keep(t)), {}, 0
  c:subscribe(t.topic, 1)
  for _ = 1, 4 do
    local p = b:join()
    for _, m in ipairs(open) do
      c:expect { "PUBLISH", payload = m.payload, id = m.id, dup = true }
    end
    for _ = 1, 3 do
      n = n + 1
      p:publish { topic = t.topic, payload = tostring(n), qos = 1 }
      table.insert(open, c:expect { "PUBLISH", payload = tostring(n), dup = false })
    end
    c:send { "PUBACK", id = table.remove(open, 1).id }
    again.fence(c)
    restart(b)
    c = b:join(keep(t))
  end
  for _, m in ipairs(open) do c:receive { payload = m.payload, id = m.id, dup = true } end
  c:expect_nothing()
end)
