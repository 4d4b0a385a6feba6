-- Queues longer than memory: their middle is on the disk only, and nobody notices.

local CONF = "limits { max_queue_messages 100000; max_queue_bytes 1g; queue_memory_messages 10; "
local BATCH = 200

local function keep(t, more)
  local options = { id = t.topic, version = 4, clean_start = false }
  for k, v in pairs(more or {}) do options[k] = v end
  return options
end

-- Publishes from..to as numbers, many unacknowledged at a time.
local function fill(p, topic, from, to, qos)
  for first = from, to, BATCH do
    local last = math.min(first + BATCH - 1, to)
    for i = first, last do
      p:send { "PUBLISH", topic = topic, payload = tostring(i), qos = qos or 1, id = i % 60000 + 1 }
    end
    for i = first, last do p:expect { qos == 2 and "PUBREC" or "PUBACK", id = i % 60000 + 1 } end
    for i = first, qos == 2 and last or first - 1 do p:send { "PUBREL", id = i % 60000 + 1 } end
    for i = first, qos == 2 and last or first - 1 do p:expect { "PUBCOMP", id = i % 60000 + 1 } end
  end
end

-- Takes the numbers from..to in order, with their handshakes.
local function drain(t, c, from, to)
  for i = from, to do
    local m = c:await { "PUBLISH" }
    t:equal(m.payload, tostring(i), "the message that comes next")
    c:finish(m)
  end
end

for qos = 1, 2 do
  story("a long queue comes back in order, also after a crash: QoS " .. qos,
    "MQTT-4.6.0-5 MQTT-4.1.0-1", function(t)
      local b = t:own_broker(CONF .. "}")
      local c = b:join(keep(t))
      c:subscribe(t.topic, qos)
      c:disconnect()
      local p = b:join { version = 4 }
      fill(p, t.topic, 1, 1000, qos)
      c = b:join(keep(t))
      drain(t, c, 1, 300)
      fill(p, t.topic, 1001, 1200, qos) -- behind what is on the disk
      c:abort()
      b:kill()
      b:restart()
      c = b:join(keep(t))
      -- what was not settled as acknowledged at the kill may come again
      local m = c:expect { "PUBLISH" }
      local first = tonumber(m.payload)
      t:check(first <= 301 and first > 301 - 64, "begins again at %d", first)
      c:abort()
      c = b:join(keep(t))
      drain(t, c, first, 1200)
      c:expect_nothing()
    end)
end

story("in a full long queue the oldest give way, wherever they are", "MQTT-4.6.0-5", function(t)
  local b = t:own_broker "limits { max_queue_messages 100; queue_memory_messages 10; queue_full drop_old; }"
  local c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  c:disconnect()
  local p = b:join { version = 4 }
  fill(p, t.topic, 1, 1000)
  c = b:join(keep(t))
  drain(t, c, 901, 920)
  for i = 921, 984 do c:await { "PUBLISH", payload = tostring(i) } end -- 64 open, no more
  c:abort()
  fill(p, t.topic, 1001, 1500)
  b:kill()
  b:restart()
  c = b:join(keep(t))
  drain(t, c, 921, 984)
  drain(t, c, 1401, 1500)
  c:expect_nothing()
end)

story("messages open at the client stay while those behind them give way", "MQTT-4.4.0-1",
  function(t)
    local b = t:own_broker [[limits { max_queue_messages 50; queue_memory_messages 10; max_inflight 5;
      queue_full drop_old; }]]
    local c = b:join(keep(t))
    c:subscribe(t.topic, 1)
    local p = b:join { version = 4 }
    fill(p, t.topic, 1, 5)
    local open = {}
    for i = 1, 5 do open[i] = c:expect { "PUBLISH", payload = tostring(i) }.id end
    fill(p, t.topic, 6, 1000)
    c:abort()
    c = b:join(keep(t))
    for i = 1, 5 do c:expect { "PUBLISH", payload = tostring(i), id = open[i], dup = true } end
    for i = 1, 5 do c:send { "PUBACK", id = open[i] } end
    drain(t, c, 951, 1000)
    c:expect_nothing()
  end)

story("a long queue ends with its session, and every message is counted", "MQTT-4.1.0-2", function(t)
  local b = t:own_broker(CONF .. "}")
  local c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  c:disconnect()
  local p = b:join { version = 4 }
  fill(p, t.topic, 1, 500)
  b:join { id = t.topic, version = 4, clean_start = true }:disconnect()
  local ledger = b:check_ledger()
  t:equal(ledger.dropped_session_ended, 500, "dropped with the session")
end)

story("a client gets what is published while its long queue is being read", "MQTT-4.6.0-5",
  function(t)
    local b = t:own_broker(CONF .. "}")
    local c = b:join(keep(t))
    c:subscribe(t.topic, 1)
    c:disconnect()
    local p = b:join { version = 4 }
    fill(p, t.topic, 1, 600)
    c = b:join(keep(t))
    for i = 1, 600, 50 do
      drain(t, c, i, i + 49)
      fill(p, t.topic, 601 + i - 1, 601 + i + 48)
    end
    drain(t, c, 601, 1200)
    c:expect_nothing()
  end)

story("all queues together have a limit of their own", "MQTT-4.1.0-2", function(t)
  local b = t:own_broker "limits { max_queued_messages 100; max_queue_messages 100000; }"
  for i = 1, 2 do
    local c = b:join(keep(t, { id = t.topic .. i }))
    c:subscribe(t.topic, 1)
    c:disconnect()
  end
  local p = b:join()
  local deadline, refused = t:now() + 30, 0
  while refused == 0 do -- the limit is looked at four times a second
    t:check(t:now() < deadline, "nothing was refused")
    if p:publish { topic = t.topic, payload = "x", qos = 1 }.reason == 0x97 then refused = 1 end
  end
  local ledger = b:check_ledger()
  t:check(ledger.routed - ledger.dropped_queue_full >= 100, "refused below the limit")
  b:join { id = t.topic .. 1, clean_start = true }:disconnect()
  b:join { id = t.topic .. 2, clean_start = true }:disconnect()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  c:disconnect()
  repeat t:check(t:now() < deadline, "the limit stays")
  until p:publish { topic = t.topic, payload = "x", qos = 1 }.reason == 0
end)
