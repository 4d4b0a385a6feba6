-- Every limit and switch of the configuration does what its line of help says.
local show = require("wire").show

local function limits(text) return "limits { " .. text .. " }" end

local function keep(t, more)
  local o = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  for k, v in pairs(more or {}) do o[k] = v end
  return o
end

story.both("connect_max_packet bounds a CONNECT", "MQTT-3.1.4-1", function(t)
  local b = t:broker(limits "connect_max_packet 1k;")
  b:join { username = ("u"):rep(900) }
  b:client { username = ("u"):rep(1100) }:expect_refused { 0x81, 0x95 }
end)

story("max_payload bounds a payload", "MQTT-4.13.1-1/5", function(t)
  local b = t:broker(limits "max_payload 100;")
  local c = b:join()
  c:subscribe(t.topic, 1)
  c:publish { topic = t.topic, payload = ("x"):rep(100), qos = 1 }
  c:receive()
  c:send { "PUBLISH", topic = t.topic, payload = ("x"):rep(101), qos = 1, id = 9 }
  local got = c:try_next()
  t:check(got and got.reason and got.reason >= 0x80, "got %s", show(got))
end)

story("max_topic_length bounds names and filters", "MQTT-4.7.3-3", function(t)
  local b = t:broker(limits "max_topic_length 50;")
  local fits = t.topic .. ("x"):rep(50 - #t.topic)
  local c = b:join()
  c:subscribe(fits, 1)
  c:publish { topic = fits, payload = "x", qos = 1 }
  c:receive()
  c:send { "PUBLISH", topic = fits .. "x", payload = "x", qos = 1, id = 9 }
  local got = c:try_next()
  t:check(got and got.reason and got.reason >= 0x80, "got %s", show(got))
  c = b:join()
  c:send { "SUBSCRIBE", id = 1, filters = { { fits .. "x", 1 } } }
  got = c:try_next()
  t:check(got and (got[1] == "DISCONNECT" or got.codes[1] >= 0x80), "got %s", show(got))
end)

story.both("max_client_id bounds a client id", "MQTT-3.1.3-8/5 MQTT-3.1.3-9/3.1.1", function(t)
  local b = t:broker(limits "max_client_id 30;")
  b:join { id = (t.topic .. ("x"):rep(30)):sub(1, 30) }
  local c = b:client { id = (t.topic .. ("x"):rep(31)):sub(1, 31) }
  c:expect { "CONNACK", reason = t.version == 5 and 0x85 or 2 }
  c:expect_closed()
end)

story.both("max_inflight bounds what is open towards a client", "MQTT-4.9.0-2/5", function(t)
  local b = t:broker(limits "max_inflight 3;")
  local c, p = b:join(), b:join()
  c:subscribe(t.topic, 1)
  for i = 1, 5 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
  local open = {}
  for i = 1, 3 do open[i] = c:expect { "PUBLISH", payload = tostring(i) } end
  c:expect_nothing()
  for i = 1, 3 do c:finish(open[i]) end
  for i = 4, 5 do c:receive { payload = tostring(i) } end
end)

story("topic_alias_out 0 assigns none", "MQTT-3.1.2-26/5", function(t)
  local b = t:broker(limits "topic_alias_out 0;")
  local c = b:join { properties = { topic_alias_maximum = 10 } }
  c:subscribe(t.topic)
  for _ = 1, 5 do
    c:publish { topic = t.topic, payload = "x" }
    c:receive { properties = { topic_alias = false } }
  end
end)

story("queue_full drop_old keeps the newest", "MQTT-4.5.0-1", function(t)
  local b = t:broker(limits "max_queue_messages 3; queue_full drop_old;")
  local c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  c:disconnect()
  local p = b:join()
  for i = 1, 8 do t:equal(p:publish { topic = t.topic, payload = tostring(i), qos = 1 }.reason, 0,
    "PUBACK") end
  c = b:join(keep(t))
  for i = 6, 8 do c:receive { payload = tostring(i) } end
  c:expect_nothing()
end)

story("message_expiry_max gives every message an end", "MQTT-3.3.2-5/5", function(t)
  local b = t:broker(limits "message_expiry_max 1s;")
  local c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  c:disconnect()
  local p = b:join()
  p:publish { topic = t.topic, payload = "none", qos = 1 }
  p:publish { topic = t.topic, payload = "long", qos = 1, properties = { message_expiry = 1000 } }
  t:pass(2.2)
  b:join(keep(t)):expect_nothing()
end)

story("will_delay_max shortens a will's delay", "MQTT-3.1.2-8/5", function(t)
  local b = t:broker(limits "will_delay_max 1s;")
  local w = b:join()
  w:subscribe(t.topic, 1)
  local c = b:join(keep(t, { will = { topic = t.topic, payload = "gone",
    properties = { will_delay = 50 } } }))
  local began = t:now()
  c:abort()
  w:receive { payload = "gone" }
  local took = t:now() - began
  t:check(took >= 0.99 and took < 2.5, "published after %.1f s", took)
end)

story("session_expiry_max ends sessions of 3.1.1 too", "MQTT-4.1.0-2", function(t)
  local b = t:broker(limits "session_expiry_max 1s;")
  for version = 4, 5 do
    local o = keep(t, { version = version, id = t.topic .. version })
    b:join(o):disconnect()
    t:pass(2.2)
    local c = b:client(o)
    c:expect { "CONNACK", reason = 0, session_present = false }
  end
end)

story("server_keep_alive is imposed and told", "MQTT-3.2.2-22/5", function(t)
  local b = t:broker(limits "server_keep_alive 1s;")
  local began = t:now()
  local c = b:join { keep_alive = 1000 }
  t:equal(c.connack.properties.server_keep_alive, 1, "server keep alive")
  c:expect_dropped(0x8D)
  local took = t:now() - began
  t:check(took >= 1.49 and took < 2.8, "closed after %.2f s", took)
end)

story("max_retained_messages refuses what is too much", "MQTT-3.3.1-5/5", function(t)
  -- the broker's own topics would count too
  local b = t:own_broker(limits "max_retained_messages 3;" .. " sys_topics { interval off; }")
  local p = b:join()
  for i = 1, 3 do p:publish { topic = t.topic .. "/" .. i, payload = "kept", qos = 1,
    retain = true } end
  local ack = p:publish { topic = t.topic .. "/4", payload = "too many", qos = 1, retain = true }
  t:check(ack.reason >= 0x80, "PUBACK with 0x%02X", ack.reason)
  ack = p:publish { topic = t.topic .. "/2", payload = "replaced", qos = 1, retain = true }
  t:check(ack.reason < 0x80, "PUBACK with 0x%02X for a topic that is kept", ack.reason)
  local c = b:join()
  c:subscribe(t.topic .. "/#", 0)
  c:expect_all { { "PUBLISH", topic = t.topic .. "/1" }, { "PUBLISH", topic = t.topic .. "/2",
    payload = "replaced" },
    { "PUBLISH", topic = t.topic .. "/3" } }
  c:expect_nothing()
  p:publish { topic = t.topic .. "/1", payload = "", qos = 1, retain = true }
  c:receive { payload = "" }
  ack = p:publish { topic = t.topic .. "/4", payload = "room", qos = 1, retain = true }
  t:check(ack.reason < 0x80, "PUBACK with 0x%02X after one was deleted", ack.reason)
end)

story("max_retained_bytes refuses what is too much", "MQTT-3.3.1-5/5", function(t)
  local b = t:own_broker(limits "max_retained_bytes 64k;")
  local p, taken = b:join(), 0
  for i = 1, 20 do
    local ack = p:publish { topic = t.topic .. "/" .. i, payload = ("x"):rep(10000), qos = 1,
      retain = true }
    if ack.reason < 0x80 then taken = taken + 1 end
  end
  t:check(taken >= 4 and taken <= 6, "%d messages of 10000 bytes were kept in 64k", taken)
end)

-- Who of the members got how many.
local function counts(group)
  local list = {}
  for i, c in ipairs(group) do
    c:ping()
    c:ping()
    list[i] = 0
    for _, m in ipairs(c.inbox) do
      if m[1] == "PUBLISH" then list[i] = list[i] + 1 end
    end
  end
  return list
end

story("shared_strategy sticky stays with one member", "MQTT-4.8.2-1/5", function(t)
  local b = t:broker(limits "shared_strategy sticky;")
  local group, p = {}, b:join()
  for i = 1, 3 do
    group[i] = b:join()
    group[i]:subscribe("$share/g/" .. t.topic, 0)
  end
  for i = 1, 30 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
  local got = counts(group)
  table.sort(got)
  t:equal(table.concat(got, " "), "0 0 30", "messages by member")
end)

story("shared_strategy hash gives each publisher one member", "MQTT-4.8.2-1/5", function(t)
  local b = t:broker(limits "shared_strategy hash;")
  local group = {}
  for i = 1, 3 do
    group[i] = b:join()
    group[i]:subscribe("$share/g/" .. t.topic, 0)
  end
  local busy = {}
  for n = 1, 12 do
    local p = b:join { id = t.topic .. "p" .. n }
    for i = 1, 5 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
    local got = counts(group)
    local whole = 0
    for i, count in ipairs(got) do
      t:check(count == 0 or count == 5, "a publisher's messages were spread: %s", table.concat(got,
        " "))
      if count == 5 then whole, busy[i] = whole + 1, true end
      group[i].inbox = {}
    end
    t:equal(whole, 1, "members that got a publisher's messages")
  end
  t:check(#busy > 1 or next(busy, next(busy)), "all publishers went to one member")
end)

story("upgrade_outgoing_qos delivers at the granted QoS", "MQTT-3.8.4-8/5", function(t)
  local b = t:broker(limits "upgrade_outgoing_qos on;")
  local c, p = b:join(), b:join()
  c:subscribe(t.topic, 2)
  for qos = 0, 2 do
    p:publish { topic = t.topic, payload = "x", qos = qos }
    c:receive { qos = 2 }
  end
end)

story("reason_strings explain, and can be switched off", "MQTT-3.1.2-29/5", function(t)
  for _, on in ipairs { true, false } do
    local b = t:broker(limits("reason_strings " .. (on and "on" or "off") .. ";"))
    local c = b:join()
    c:send { "CONNECT", id = "again" }
    local got = c:expect { "DISCONNECT" }
    t:equal(got.properties.reason_string ~= nil, on, "a reason string in DISCONNECT")
  end
end)
