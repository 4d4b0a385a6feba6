-- Nobody waits for somebody else's long work: one loop, a busy client on it, and a healthy one
-- whose
-- round trips are timed.  The promise is 100 ms; under a sanitizer, beside other tests, five times
-- that.
local mqtt = require "mqtt"

local ALLOWED = { none = 0.2, address = 0.5, thread = 2 } -- seconds

local function healthy(t, b)
  local p, s = b:join(), b:join()
  s:subscribe(t.topic .. "/healthy", 1)
  local n, slowest, worst = 0, 0, ALLOWED[require("broker").sanitizer()]
  return {
    round = function()
      n = n + 1
      local began = t:now()
      p:publish { topic = t.topic .. "/healthy", payload = tostring(n), qos = 1 }
      s:receive { payload = tostring(n) }
      slowest = math.max(slowest, t:now() - began)
    end,
    check = function(what)
      t:check(n >= 10, "only %d round trips beside %s", n, what)
      t:check(slowest < worst, "a round trip took %.0f ms beside %s", slowest * 1000, what)
    end,
  }
end

-- Goes on with healthy round trips until `enough` of something has come for c.
local function beside(h, c, done)
  repeat
    h.round()
    while c.stream and not done() do
      local bytes = c.stream:recv(host.now()) -- what is there now, without waiting
      if not bytes then break end
      c.buffer = c.buffer .. bytes
    end
  until done()
end

story("a replay of twenty thousand retained messages", "MQTT-3.3.1-9/5", function(t)
  local b = t:own_broker "threads 1;"
  local p = b:join { version = 4 }
  local bytes, want = {}, 0
  for i = 1, 20000 do
    bytes[#bytes + 1] = mqtt.encode({ "PUBLISH", topic = ("%s/r/%d/%d"):format(t.topic, i % 100, i),
      payload = ("x"):rep(100), retain = true }, 4)
    if #bytes == 500 then
      p.stream:send(table.concat(bytes))
      bytes = {}
    end
  end
  p:ping()
  local h = healthy(t, b)
  local c = b:join { version = 4 }
  c.stream:send(mqtt.encode({ "SUBSCRIBE", id = 1, filters = { { t.topic .. "/r/#", 0 } } }, 4))
  for i = 1, 20000 do want = want + 2 + 2 + #("%s/r/%d/%d"):format(t.topic, i % 100, i) + 100 end
  want = want + 5 -- SUBACK
  beside(h, c, function() return #c.buffer >= want end)
  for _ = 1, 10 do h.round() end
  h.check "a retained replay"
end, { alone = true })

story("SUBSCRIBEs with thousands of filters", "MQTT-3.8.4-5", function(t)
  local b = t:own_broker "threads 1;\nlimits { max_subscriptions none; }"
  local h = healthy(t, b)
  local c = b:join { version = 4 }
  for round = 1, 10 do
    local filters = {}
    for i = 1, 5000 do filters[i] = { ("%s/%d/%d/+"):format(t.topic, round, i), 0 } end
    c.stream:send(mqtt.encode({ "SUBSCRIBE", id = round, filters = filters }, 4))
    h.round()
  end
  local want = 10 * (1 + 2 + 2 + 5000)
  beside(h, c, function() return #c.buffer >= want end)
  h.check "long SUBSCRIBEs"
  c:abort() -- taking fifty thousand subscriptions down is long work too
  for _ = 1, 20 do h.round() end
  h.check "the end of a session with fifty thousand subscriptions"
end, { alone = true })

story("a publisher with three hundred subscribers", "MQTT-4.5.0-1", function(t)
  local b = t:own_broker "threads 1;"
  local crowd = {}
  for i = 1, 300 do
    crowd[i] = b:client { version = 4 }
    crowd[i].stream:send(mqtt.encode({ "SUBSCRIBE", id = 1, filters = { { t.topic .. "/f", 0 } } },
      4))
  end
  for _, c in ipairs(crowd) do
    c:expect { "CONNACK", reason = 0 }
    c:expect { "SUBACK" }
  end
  local h = healthy(t, b)
  local p = b:join { version = 4 }
  local burst = mqtt.encode({ "PUBLISH", topic = t.topic .. "/f", payload = ("x"):rep(64) },
    4):rep(200)
  for _ = 1, 10 do
    p.stream:send(burst) -- 60,000 deliveries
    h.round()
  end
  h.check "a fan-out"
end, { alone = true })

story("a hundred publishers do not starve a subscriber's acknowledgements", "MQTT-4.9.0-3/5",
  function(t)
  local b = t:own_broker "limits { max_queue_messages 100000; max_inflight 20; }"
  local c = b:join { version = 4 }
  c:subscribe(t.topic, 2)
  local publishers, total = {}, 100 * 20
  for i = 1, 100 do
    local p = b:join { version = 4 }
    local bytes = {}
    for n = 1, 20 do
      bytes[n] = mqtt.encode({ "PUBLISH", topic = t.topic, payload = ("%d %d"):format(i, n),
        qos = 2, id = n }, 4)
    end
    p.stream:send(table.concat(bytes))
    publishers[i] = p
  end
  local last, done = {}, 0
  while done < total do
    local got = c:expect {}
    if got[1] == "PUBREL" then
      c:send { "PUBCOMP", id = got.id }
      done = done + 1
    else
      local who, n = got.payload:match("(%d+) (%d+)")
      t:equal(tonumber(n), (last[who] or 0) + 1, "the next message of publisher " .. who)
      last[who] = tonumber(n)
      c:send { "PUBREC", id = got.id }
    end
  end
  for _, p in ipairs(publishers) do
    for n = 1, 20 do p:expect { "PUBREC", id = n } end
  end
end, { alone = true })
