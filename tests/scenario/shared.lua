-- Shared subscriptions: $share/NAME/FILTER.

local function share(t, filter, name) return ("$share/%s/%s"):format(name or t.topic, filter
  or t.topic) end

local function members(t, b, count, qos, options)
  local list = {}
  for i = 1, count do
    list[i] = b:join(options and options(i))
    list[i]:subscribe(share(t), qos or 1)
  end
  return list
end

-- Messages waiting in each member's inbox after a round trip, acknowledged; payload -> times seen.
local function collect(list)
  local seen, per = {}, {}
  for i, c in ipairs(list) do
    c:ping()
    c:ping()
    per[i] = 0
    for _, m in ipairs(c.inbox) do
      if m[1] == "PUBLISH" then
        seen[m.payload] = (seen[m.payload] or 0) + 1
        per[i] = per[i] + 1
        if m.qos == 1 then c:send { "PUBACK", id = m.id } end
      end
    end
    c.inbox = {}
  end
  return seen, per
end

story("5: each message goes to one member, and all take part", "MQTT-4.8.2-1/5", function(t)
  local b = t:broker()
  local group, p = members(t, b, 3), b:join()
  for i = 1, 60 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
  local seen, per = collect(group)
  for i = 1, 60 do t:equal(seen[tostring(i)], 1, "deliveries of " .. i) end
  for i = 1, 3 do t:check(per[i] >= 15, "member %d got %d of 60", i, per[i]) end
end)

story("3.1.1 clients share too", "MQTT-4.8.2-1/5", function(t)
  local b = t:broker()
  local group = members(t, b, 2, 1, function(i) return { version = i == 1 and 4 or 5 } end)
  local p = b:join()
  for i = 1, 10 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
  local seen, per = collect(group)
  for i = 1, 10 do t:equal(seen[tostring(i)], 1, "deliveries of " .. i) end
  t:check(per[1] > 0 and per[2] > 0, "one member got all")
end)

story("5: groups of other names and plain subscriptions get their own copies", "MQTT-4.8.2-1/5",
  function(t)
  local b = t:broker()
  local one, two, plain = b:join(), b:join(), b:join()
  one:subscribe(share(t, nil, "one"), 1)
  two:subscribe(share(t, nil, "two"), 1)
  plain:subscribe(t.topic, 1)
  plain:subscribe(share(t, nil, "three"), 0)
  b:join():publish { topic = t.topic, payload = "x", qos = 1 }
  one:receive { payload = "x" }
  two:receive { payload = "x" }
  plain:expect_all { { "PUBLISH", payload = "x" }, { "PUBLISH", payload = "x" } }
end)

story("5: the filter of a share may have wildcards", "MQTT-4.8.2-1/5 MQTT-4.8.2-2/5 MQTT-4.7.2-1",
  function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe(share(t, t.topic .. "/+/x/#"), 1)
  local p = b:join()
  p:publish { topic = t.topic .. "/1/x/y", payload = "in", qos = 1 }
  p:publish { topic = t.topic .. "/1/z/y", payload = "out", qos = 1 }
  c:receive { payload = "in", topic = t.topic .. "/1/x/y" }
  c:expect_nothing()
  c:subscribe(share(t, "+/" .. t.topic), 1)
  p:publish { topic = "$x/" .. t.topic, payload = "hidden", qos = 1 }
  c:expect_nothing()
end)

story("5: malformed shares are refused", "MQTT-4.8.2-1/5 MQTT-4.8.2-2/5", function(t)
  local b = t:broker()
  for _, filter in ipairs { "$share//a", "$share/g", "$share/g/", "$share/", "$share/+/a",
    "$share/#/a",
    "$share/g+/a", "$share/g#/a", "$share/g/a#", "$share/g/#/a" } do
    local c = b:join()
    c:send { "SUBSCRIBE", id = 1, filters = { { filter, 1 } } }
    local got = c:try_next()
    t:check(got and (got[1] == "SUBACK" and got.codes[1] == 0x8F
      or got[1] == "DISCONNECT" and (got.reason == 0x8F or got.reason == 0x81
        or got.reason == 0x82)),
      "%s: got %s", filter, require("wire").show(got))
  end
end)

story("5: $share alone, or in another case, is an ordinary filter", "MQTT-4.8.2-1/5", function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe("$Share/" .. t.topic .. "/a", 1)
  b:join():publish { topic = "$Share/" .. t.topic .. "/a", payload = "plain", qos = 1 }
  c:receive { payload = "plain" }
end)

story("5: No Local on a share is a protocol error", "MQTT-3.8.3-4/5", function(t)
  local c = t:broker():join()
  c:send { "SUBSCRIBE", id = 1, filters = { { share(t), qos = 1, no_local = true } } }
  c:expect_dropped(0x82)
end)

story("5: each member is served at its own granted QoS", "MQTT-4.8.2-3/5", function(t)
  local b = t:broker()
  local low, high = b:join(), b:join()
  low:subscribe(share(t), 0)
  high:subscribe(share(t), 2)
  local p = b:join()
  for i = 1, 20 do p:publish { topic = t.topic, payload = tostring(i), qos = 2 } end
  low:ping()
  local count = 0
  for _, m in ipairs(low.inbox) do
    t:equal(m.qos, 0, "QoS to the low member")
    count = count + 1
  end
  t:check(count > 0 and count < 20, "the low member got %d", count)
  for _ = 1, 20 - count do high:receive { qos = 2 } end
  high:expect_nothing()
end)

story("5: who leaves gets nothing more, the others get everything", "MQTT-4.8.2-1/5", function(t)
  local b = t:broker()
  local group, p = members(t, b, 3), b:join()
  group[1]:unsubscribe(share(t))
  group[2]:disconnect()
  for i = 1, 10 do
    p:publish { topic = t.topic, payload = tostring(i), qos = 1 }
    group[3]:receive { payload = tostring(i) }
  end
  group[1]:expect_nothing()
end)

story("5: messages unacknowledged when a member's session ends go to another", "MQTT-4.8.2-1/5",
  function(t)
  local b = t:broker()
  local one = b:join()
  one:subscribe(share(t), 1)
  local p = b:join()
  for i = 1, 5 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
  for i = 1, 5 do one:expect { "PUBLISH", payload = tostring(i) } end
  local two = b:join()
  two:subscribe(share(t), 1)
  one:abort()
  for i = 1, 5 do two:receive { payload = tostring(i) } end
  two:expect_nothing()
end)

story("5: connected members are preferred to absent ones", "MQTT-4.8.2-1/5", function(t)
  local b = t:broker()
  local away = b:join { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  away:subscribe(share(t), 1)
  local here = b:join()
  here:subscribe(share(t), 1)
  away:disconnect()
  local p = b:join()
  for i = 1, 10 do
    p:publish { topic = t.topic, payload = tostring(i), qos = 1 }
    here:receive { payload = tostring(i) }
  end
end)

story("5: with every member absent the messages wait", "MQTT-4.8.2-1/5 MQTT-4.5.0-1", function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:subscribe(share(t), 1)
  c:disconnect()
  local p = b:join()
  for i = 1, 5 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
  c = b:join(keep)
  for i = 1, 5 do c:receive { payload = tostring(i) } end
  c:expect_nothing()
end)

story("5: a QoS 2 delivery begun is completed with the same member", "MQTT-4.8.2-4/5", function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local one = b:join(keep)
  one:subscribe(share(t), 2)
  b:join():publish { topic = t.topic, payload = "mine", qos = 2 }
  local m = one:expect { "PUBLISH", qos = 2 }
  local other = b:join()
  other:subscribe(share(t), 2)
  one:abort()
  other:expect_nothing()
  one = b:join(keep)
  one:receive { id = m.id, dup = true, payload = "mine" }
  other:expect_nothing()
end)

story("5: when that member's session ends the message goes to nobody else", "MQTT-4.8.2-5/5",
  function(t)
  local b = t:broker()
  local one = b:join { id = t.topic, clean_start = false, properties = { session_expiry = 1 } }
  one:subscribe(share(t), 2)
  b:join():publish { topic = t.topic, payload = "mine", qos = 2 }
  local m = one:expect { "PUBLISH", qos = 2 }
  one:send { "PUBREC", id = m.id }
  one:expect { "PUBREL", id = m.id }
  local other = b:join()
  other:subscribe(share(t), 2)
  one:abort()
  t:pass(2.2)
  other:expect_nothing()
end)

story("5: a refused message is dropped and not offered to another",
  "MQTT-4.8.2-6/5 MQTT-4.4.0-2/5", function(t)
  local b = t:broker()
  local one = b:join()
  one:subscribe(share(t), 2)
  local p = b:join()
  p:publish { topic = t.topic, payload = "a", qos = 1 }
  p:publish { topic = t.topic, payload = "b", qos = 2 }
  local a, bb = one:expect { "PUBLISH", payload = "a" }, one:expect { "PUBLISH", payload = "b" }
  local other = b:join()
  other:subscribe(share(t), 2)
  one:send { "PUBACK", id = a.id, reason = 0x80 }
  one:send { "PUBREC", id = bb.id, reason = 0x80 }
  one:expect_nothing()
  other:expect_nothing()
  one:abort()
  other:expect_nothing()
end)

story("5: a subscription identifier travels with shared messages", "MQTT-3.3.4-3/5", function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe { { share(t), 1 }, properties = { subscription_id = 12 } }
  b:join():publish { topic = t.topic, payload = "x", qos = 1 }
  c:receive { properties = { subscription_id = { 12 } } }
end)

story("5: shares switched off are announced and refused", "MQTT-3.9.3-2/5", function(t)
  local b = t:broker "limits { shared_subscriptions off; }"
  local c = b:join()
  t:equal(c.connack.properties.shared_available, 0, "shared subscription available")
  c:send { "SUBSCRIBE", id = 1, filters = { { share(t), 1 } } }
  local got = c:try_next()
  t:check(got and (got[1] == "SUBACK" and got.codes[1] == 0x9E
    or got[1] == "DISCONNECT" and got.reason == 0x9E), "got %s", require("wire").show(got))
end)

story("5: one publisher's messages reach each member in order", "MQTT-4.6.0-5/5", function(t)
  local b = t:broker()
  local group, p = members(t, b, 3), b:join()
  for i = 1, 90 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 } end
  for _, c in ipairs(group) do
    c:ping()
    local last = 0
    for _, m in ipairs(c.inbox) do
      t:check(tonumber(m.payload) > last, "%s after %d", m.payload, last)
      last = tonumber(m.payload)
    end
  end
end)
