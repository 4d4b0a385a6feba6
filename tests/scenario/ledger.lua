-- The ledger: every message ends in exactly one counted outcome, and the sums balance.
local broker = require "broker"

-- What the counters have grown by since the last call.
local function meter(b)
  local last = b:check_ledger()
  return function()
    local now = b:check_ledger()
    local grown = {}
    for name, value in pairs(now) do
      if value ~= last[name] then grown[name] = value - last[name] end
    end
    last = now
    return grown
  end
end

local ACCOUNTS = { "received_qos0", "received_qos1", "received_qos2", "accepted",
  "accepted_unmatched", "routed",
  "delivered_qos0", "delivered_qos1", "delivered_qos2" }

-- Compares the growth of the accounts, drops and refusals with what is wanted; others must stay.
local function expect(t, grown, wanted, what)
  local names = {}
  for _, name in ipairs(ACCOUNTS) do names[name] = true end
  for name in pairs(grown) do
    if name:find("^dropped_") or name:find("^refused_") then names[name] = true end
  end
  for name in pairs(wanted) do names[name] = true end
  for name in pairs(names) do
    t:equal(grown[name] or 0, wanted[name] or 0, what .. ": " .. name)
  end
end

local function keep(t) return { id = t.topic, clean_start = false,
  properties = { session_expiry = 60 } } end

story("5: each way a message can end is counted once", "MQTT-4.5.0-1", function(t)
  local b = t:own_broker "limits { max_queue_messages 2; max_inflight 1; }"
  local p = b:join()
  local grown = meter(b)

  p:publish { topic = t.topic, payload = "x", qos = 1 }
  expect(t, grown(), { received_qos1 = 1, accepted = 1, accepted_unmatched = 1 },
    "nobody subscribes")

  local c = b:join()
  c:subscribe(t.topic, 2)
  for qos = 0, 2 do
    p:publish { topic = t.topic, payload = "x", qos = qos }
    c:receive { qos = qos }
    c:ping()
    expect(t, grown(), { ["received_qos" .. qos] = 1, accepted = 1, routed = 1, ["delivered_qos"
      .. qos] = 1 },
      "delivered at QoS " .. qos)
  end

  p:publish { topic = t.topic, payload = "x", qos = 1 }
  c:send { "PUBACK", id = c:expect { "PUBLISH" }.id, reason = 0x83 }
  c:ping()
  expect(t, grown(), { received_qos1 = 1, accepted = 1, routed = 1,
    dropped_refused_by_client = 1 }, "refused by the client")
  c:disconnect()

  c = b:join { properties = { maximum_packet_size = 60 } }
  c:subscribe(t.topic, 1)
  p:publish { topic = t.topic, payload = ("x"):rep(100), qos = 1 }
  c:ping()
  expect(t, grown(), { received_qos1 = 1, accepted = 1, routed = 1, dropped_too_large = 1 },
    "too large for the client")
  c:disconnect()

  p:publish { topic = "$SYS/forged", payload = "x", qos = 1 }
  expect(t, grown(), { received_qos1 = 1, refused_not_authorized = 1 }, "not allowed")

  c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  c:disconnect()
  p:publish { topic = t.topic, payload = "x", qos = 0 }
  p:ping()
  expect(t, grown(), { received_qos0 = 1, accepted = 1, routed = 1, dropped_offline = 1 },
    "QoS 0 for an absent client")

  p:publish { topic = t.topic, payload = "x", qos = 1, properties = { message_expiry = 1 } }
  p:publish { topic = t.topic, payload = "x", qos = 1 }
  expect(t, grown(), { received_qos1 = 2, accepted = 2, routed = 2, waiting = 2 }, "waiting")
  t:equal(p:publish { topic = t.topic, payload = "x", qos = 1 }.reason, 0x97, "PUBACK")
  -- one outcome in each account: the message's and its target's
  expect(t, grown(), { received_qos1 = 1, refused_quota = 1, routed = 1, dropped_queue_full = 1 },
    "a full queue")

  t:pass(2.1)
  c = b:join(keep(t))
  c:receive()
  c:ping()
  expect(t, grown(), { dropped_expired = 1, delivered_qos1 = 1, waiting = -2 },
    "expired while waiting")
  c:disconnect()
  p:publish { topic = t.topic, payload = "x", qos = 1 }
  b:join { id = t.topic, clean_start = true }:disconnect()
  expect(t, grown(), { received_qos1 = 1, accepted = 1, routed = 1, dropped_session_ended = 1 },
    "the session ended")
end)

story("random traffic balances: nothing waits when no session is left", "MQTT-4.5.0-1", function(t)
  local b = t:own_broker "limits { max_queue_messages 5; max_inflight 3; }"
  math.randomseed(4711)
  local clients, serial = {}, 0
  local function one(i)
    local c = clients[i]
    if not c then
      c = b:join { id = t.topic .. i, version = 4 + math.random(0, 1),
        clean_start = math.random(3) == 1,
        properties = { session_expiry = 100, receive_maximum = math.random(1, 4),
          maximum_packet_size = math.random(3) == 1 and 200 or 100000 },
        will = math.random(2) == 1 and { topic = t.topic .. "/w", payload = "w",
          qos = math.random(0, 2) } or nil }
      clients[i] = c
    end
    return c
  end
  for _ = 1, 1500 do
    local i = math.random(8)
    local c, what = one(i), math.random(10)
    if what <= 5 then
      serial = serial + 1
      c:publish { topic = t.topic .. "/" .. math.random(4), payload = ("x"):rep(math.random(0,
        300)), qos = math.random(0, 2),
        properties = math.random(4) == 1 and { message_expiry = 1 } or nil }
    elseif what == 6 then
      c:subscribe { { t.topic .. "/" .. math.random(4), math.random(0, 2) }, { t.topic .. "/+",
        math.random(0, 2) } }
    elseif what == 7 then
      c:subscribe { { ("$share/g/%s/%d"):format(t.topic, math.random(4)), math.random(0, 2) } }
    elseif what == 8 then
      c:unsubscribe(t.topic .. "/+", t.topic .. "/1")
    elseif what == 9 then -- acknowledge what came
      c:ping()
      for _, p in ipairs(c.inbox) do
        if p[1] == "PUBLISH" and p.qos == 1 then c:send { "PUBACK", id = p.id } end
        if p[1] == "PUBLISH" and p.qos == 2 then c:send { "PUBREC", id = p.id } end
        if p[1] == "PUBREL" then c:send { "PUBCOMP", id = p.id } end
      end
      c.inbox = {}
    elseif math.random(3) == 1 then
      if math.random(2) == 1 then c:abort() else c:send { "DISCONNECT" } c:close() end
      clients[i] = nil
    end
  end
  b:check_ledger()
  for i = 1, 8 do
    if clients[i] then clients[i]:close() end
    b:join { id = t.topic .. i, clean_start = true }:disconnect()
  end
  local deadline, l = t:now() + 5, nil
  repeat
    b:join():disconnect()
    l = b:check_ledger()
  until l.waiting == 0 or t:now() > deadline
  t:equal(l.waiting, 0, "messages waiting with no session left")
  t:check(l.routed > 500 and broker.sum(l, "dropped_") > 0, "the traffic was too tame: %d routed",
    l.routed)
end, { alone = true })
