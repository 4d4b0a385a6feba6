-- Hostile and broken peers: bounded cost, and a healthy client beside them that goes on working.
local link = require "link"
local mqtt = require "mqtt"

-- Round trips of a healthy pair; none may take longer than `worst` seconds.
local function healthy(t, b, worst)
  local p, s = b:join(), b:join()
  s:subscribe(t.topic .. "/healthy", 1)
  local n, slowest = 0, 0
  return function(rounds)
    for _ = 1, rounds or 20 do
      n = n + 1
      local began = t:now()
      p:publish { topic = t.topic .. "/healthy", payload = tostring(n), qos = 1 }
      s:receive { payload = tostring(n) }
      slowest = math.max(slowest, t:now() - began)
    end
    t:check(slowest < (worst or 2), "a healthy round trip took %.2f s", slowest)
  end
end

story("a CONNECT that drips is cut off after the connect timeout",
  "MQTT-4.8.0-2/3.1.1 MQTT-4.13.1-1/5", function(t)
  local b = t:broker "limits { connect_timeout 1s; }"
  local check = healthy(t, b)
  local bytes = mqtt.encode({ "CONNECT", id = t.topic, username = ("u"):rep(100) }, 5)
  local drips = {}
  for i = 1, 50 do
    drips[i] = b:socket()
    drips[i].stream:send(bytes:sub(1, 1))
  end
  local began = t:now()
  for i = 2, 12 do
    for _, c in ipairs(drips) do c.stream:send(bytes:sub(i, i)) end
    check(2)
    t:pass(0.2)
  end
  for _, c in ipairs(drips) do c:expect_closed(3) end
  t:check(t:now() - began < 5, "cut off only after %.1f s", t:now() - began)
  check(5)
end, { alone = true })

story("a connection that says nothing is cut off too", "MQTT-4.8.0-2/3.1.1", function(t)
  local b = t:broker "limits { connect_timeout 1s; }"
  local began = t:now()
  local silent = {}
  for i = 1, 100 do silent[i] = b:socket() end
  for _, c in ipairs(silent) do c:expect_closed(4) end
  local took = t:now() - began
  t:check(took >= 0.95 and took < 3, "cut off after %.1f s", took)
end)

story("a huge announced length costs nothing before its bytes arrive", "MQTT-4.8.0-2/3.1.1",
  function(t)
  local b = t:own_broker("", { lean = true })
  local check = healthy(t, b)
  check(5)
  local before = b:rss()
  local held = {}
  for i = 1, 300 do
    held[i] = b:socket()
    held[i]:send { "CONNECT", length = 60000, body = "\0\4MQTT\5\2\0\0" }
  end
  for i = 1, 100 do
    local c = b:join()
    c:send { "PUBLISH", length = 1000000, body = "\0\1a\0" }
    held[#held + 1] = c
  end
  check(20)
  local grown = b:rss() - before
  t:check(grown < 24000, "resident memory grew by %d KB for 400 promises", grown)
  for _, c in ipairs(held) do c:abort() end
  check(5)
end, { alone = true })

story.both("a CONNECT of a megabyte is refused", "MQTT-3.1.4-1", function(t)
  local b = t:broker()
  local c = b:socket()
  c:send { "CONNECT", length = 1000000, body = "\0\4MQTT" .. string.char(t.version) .. "\2\0\0" }
  c:expect_refused { 0x81, 0x95 }
end)

story.both("a topic of ten thousand levels is refused, in all places", "MQTT-4.7.3-3", function(t,
  version)
  local b = t:broker()
  local check = healthy(t, b)
  local deep = ("a/"):rep(10000)
  for _, packet in ipairs {
    { "PUBLISH", topic = deep, payload = "x" }, { "PUBLISH", topic = deep, payload = "x",
      retain = true },
    { "SUBSCRIBE", id = 1, filters = { { deep, 0 } } }, { "SUBSCRIBE", id = 1,
      filters = { { ("+/"):rep(10000), 0 } } },
    { "SUBSCRIBE", id = 1, filters = { { ("/"):rep(60000), 0 } } }, { "UNSUBSCRIBE", id = 1,
      filters = { deep } },
  } do
    local c = b:join()
    c:send(packet)
    local got = c:try_next(5)
    t:check(not got and c.ended or got and (got[1] == "DISCONNECT"
      or got[1] == "SUBACK" and got.codes[1] >= 0x80
      or got[1] == "UNSUBACK"), "%s: got %s", packet[1], got and require("wire").show(got)
        or "silence")
    check(2)
  end
  local c = b:client { will = { topic = deep, payload = "x" } }
  local got = c:try_next()
  t:check(not got or got.reason >= 1, "a will to such a topic was taken")
end)

story("garbage of every kind ends its own connection and nothing else",
  "MQTT-4.8.0-1/3.1.1 MQTT-4.13.1-1/5", function(t)
  local b = t:broker()
  local check = healthy(t, b)
  math.randomseed(20261122)
  for i = 1, 300 do
    local bytes = {}
    for n = 1, math.random(1, 200) do bytes[n] = string.char(math.random(0, 255)) end
    local c = i % 2 == 0 and b:socket() or b:join()
    c.stream:send(table.concat(bytes))
    c:abort()
    if i % 50 == 0 then check(2) end
  end
  for i = 1, 300 do -- almost right: one byte of a good packet changed
    local good = mqtt.encode({ "CONNECT", id = t.topic, username = "u", password = "p",
      properties = { session_expiry = 5 },
      will = { topic = "a", payload = "b", qos = 1 } }, 5)
      .. mqtt.encode({ "SUBSCRIBE", id = 1, filters = { { t.topic .. "/" .. i, 1 } },
        properties = { subscription_id = 3 } }, 5)
      .. mqtt.encode({ "PUBLISH", topic = t.topic, payload = "x", qos = 2, id = 4,
        properties = { topic_alias = 1,
        user = { { "a", "b" } }, message_expiry = 7 } }, 5)
      .. mqtt.encode({ "PUBREL", id = 4, reason = 0 }, 5)
    local at = math.random(1, #good)
    local stream = link.open(b:where())
    stream:send(good:sub(1, at - 1) .. string.char(math.random(0, 255)) .. good:sub(at + 1))
    stream:shutdown()
    stream:recv(link.deadline(0.2))
    stream:close()
    if i % 50 == 0 then check(2) end
  end
  check(5)
end, { alone = true })

story("half-open connections by the hundred do not keep others out", "MQTT-4.8.0-2/3.1.1",
  function(t)
  local b = t:broker "limits { connect_timeout 5s; }"
  local check = healthy(t, b)
  local flood = {}
  for i = 1, 800 do flood[i] = link.open(b:where()) end
  check(10)
  for _ = 1, 20 do b:join():ping() end
  for _, stream in ipairs(flood) do stream:close() end
  check(5)
end, { alone = true })

story("a subscriber that stops reading costs a bounded queue and no other client",
  "MQTT-4.9.0-3/5", function(t)
  local b = t:own_broker("limits { qos0_queue_bytes 256k; max_queue_messages 100; }",
    { lean = true })
  local check = healthy(t, b)
  check(5)
  local sleepers = {}
  for i = 1, 5 do
    sleepers[i] = b:join { narrow = 4096 }
    sleepers[i]:subscribe(t.topic .. "/flood", i % 2)
  end
  local p = b:join()
  local payload = ("x"):rep(4096)
  for i = 1, 100 do p:publish { topic = t.topic .. "/flood", payload = payload, qos = 0 } end
  p:ping()
  local before = b:rss()
  for i = 1, 8000 do
    p:publish { topic = t.topic .. "/flood", payload = payload, qos = 0 }
    if i % 1000 == 0 then
      p:ping()
      check(3)
    end
  end
  p:ping()
  local grown = b:rss() - before -- 32 MB a sleeper were offered
  t:check(grown < 24000, "resident memory grew by %d KB", grown)
  check(10)
end, { alone = true })

story("a publisher that never reads its acknowledgements is not read from for ever",
  "MQTT-4.9.0-3/5", function(t)
  local b = t:own_broker("", { lean = true })
  local check = healthy(t, b)
  check(5)
  local before = b:rss()
  local c = b:join { version = 4, narrow = 4096 }
  local one = mqtt.encode({ "PUBLISH", topic = t.topic .. "/acks", payload = "x", qos = 1,
    id = 7 }, 4)
    .. mqtt.encode({ "PINGREQ" }, 4)
  local many, taken = one:rep(2000), 0
  for _ = 1, 400 do
    local n = c.stream:try_send(many, taken % #one + 1)
    taken = taken + n
    check(1)
    if n == 0 then break end
  end
  check(10)
  local grown = b:rss() - before
  t:check(grown < 24000, "resident memory grew by %d KB", grown)
  c:abort()
end, { alone = true })

story("a flood of user properties is bounded", "MQTT-4.13.1-1/5", function(t)
  local b = t:own_broker("", { lean = true })
  local check = healthy(t, b)
  check(5)
  local before = b:rss()
  local pair = require("props").one("user", { "k", "" })
  local c = b:join()
  for _ = 1, 20 do
    c:send { "PUBLISH", topic = t.topic, payload = "x",
      properties = pair:rep(150000) } -- 900 KB of pairs
    check(1)
  end
  c:ping()
  local refused = b:client { properties = pair:rep(150000) } -- beyond what a CONNECT may hold
  t:check((refused:try_next() or { reason = 0x95 }).reason >= 0x80,
    "a CONNECT of 900 KB was let in")
  check(5)
  local grown = b:rss() - before
  t:check(grown < 32000, "resident memory grew by %d KB", grown)
end, { alone = true })

story("wildcard filters in many shapes do not slow matching down", "MQTT-3.3.2-3", function(t)
  local b = t:broker()
  local bomber = b:join()
  local filters = {}
  for i = 0, 4095 do -- every mix of + and a name over twelve levels
    local levels = { t.topic }
    for bit = 0, 11 do levels[bit + 2] = i >> bit & 1 == 1 and "+" or "a" end
    filters[#filters + 1] = { table.concat(levels, "/"), 0 }
    if #filters == 256 then
      bomber:subscribe(filters)
      filters = {}
    end
  end
  local p = b:join()
  local topic = t.topic .. ("/a"):rep(12)
  local began = t:now()
  for i = 1, 50 do
    p:publish { topic = topic, payload = tostring(i) }
    bomber:receive { payload = tostring(i) }
  end
  t:check(t:now() - began < 15, "50 messages took %.1f s", t:now() - began)
  bomber:expect_nothing()
end, { alone = true })

story("aliases, ids and sessions in a whirl", "MQTT-3.3.2-7/5 MQTT-4.13.1-1/5", function(t)
  local b = t:broker()
  local check = healthy(t, b)
  for i = 1, 100 do
    local c = b:client { id = t.topic .. i % 7, clean_start = i % 3 == 0,
      properties = { session_expiry = i % 4, receive_maximum = 1 + i % 5,
        topic_alias_maximum = i % 6 } }
    local bytes = ""
    for n = 1, 10 do
      bytes = bytes .. mqtt.encode({ "SUBSCRIBE", id = n, filters = { { t.topic .. "/#",
        n % 3 } } }, 5)
        .. mqtt.encode({ "PUBLISH", topic = n % 2 == 0 and t.topic .. "/" .. n or t.topic,
          payload = "w",
          qos = n % 3, id = n, properties = { topic_alias = n } }, 5)
    end
    c.stream:send(bytes)
    if i % 2 == 0 then c:abort() end
    if i % 20 == 0 then check(2) end
  end
  check(5)
end, { alone = true })

story("running out of descriptors does not stop or spin the broker", "MQTT-4.8.0-2/3.1.1",
  function(t)
  local b = t:own_broker("", { files = 64 })
  local check = healthy(t, b)
  check(3)
  local flood = {}
  for i = 1, 100 do flood[i] = link.try_open(b:where()) or nil end
  check(5)
  local began, cpu = t:now(), b:cpu()
  t:pass(2)
  local used = (b:cpu() - cpu) / (t:now() - began)
  t:check(used < 0.5, "%.0f%% of a processor while out of descriptors", used * 100)
  for _, stream in pairs(flood) do stream:close() end
  local deadline = t:now() + 10
  while true do
    local c = b:client()
    local got = c:try_next()
    if got and got.reason == 0 then break end
    t:check(t:now() < deadline, "no new client is let in after descriptors are free")
  end
  check(5)
end, { alone = true })
