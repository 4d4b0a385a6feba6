-- bridge_mqtt when things die: kill -9 on either side, outages, reloads under traffic.  Every message
-- carries a number; QoS 1: none is missing, QoS 2: none is missing and none comes twice, as far as
-- modules/bridge_mqtt/README.md promises.
local again = require "again"
local peer = require "peer"
local program = require "program"

local function conf(t, port, body)
  local version = t.version == 4 and "version 3.1.1;" or ""
  return ([[
load bridge_mqtt { connection m { address 127.0.0.1:%d; %s reconnect_min 50ms; reconnect_max 200ms; %s } }]])
    :format(port, version, body)
end

-- What a receiver has seen, by number.
local function tally()
  return { seen = {}, list = {}, count = 0, twice = 0, last = 0, disorder = 0 }
end

local function note(tl, n)
  if tl.seen[n] then
    tl.twice = tl.twice + 1
    table.insert(tl.list, n)
  else
    tl.seen[n] = true
    tl.count = tl.count + 1
    if n < tl.last then tl.disorder = tl.disorder + 1 end
    tl.last = n
  end
end

-- Receives until `upto` different numbers have come.
local function collect(c, tl, upto)
  while tl.count < upto do
    local got, why = c:try_next()
    if not got then
      local missing = {}
      for n = 1, upto do if not tl.seen[n] then missing[#missing + 1] = n end end
      c:complain("%s; missing: %s; twice: %s", why, table.concat(missing, " "), table.concat(tl.list, " "))
    end
    if got[1] ~= "PUBLISH" then c:complain("instead of a message came %s", got[1]) end
    c:finish(got)
    note(tl, tonumber(got.payload))
  end
end

-- Sends numbers without waiting for each; returns once all are acknowledged.
local function pour(c, topic, from, to, qos)
  local open = {}
  for n = from, to do
    local id = c:take_id()
    open[#open + 1] = id
    c:send { "PUBLISH", topic = topic, payload = tostring(n), qos = qos, id = id }
    if #open == 20 or n == to then -- within every broker's receive maximum
      for _, one in ipairs(open) do
        if qos == 1 then
          c:await { "PUBACK", id = one }
        else
          c:await { "PUBREC", id = one }
          c:send { "PUBREL", id = one }
          c:await { "PUBCOMP", id = one }
        end
      end
      open = {}
    end
  end
end

local function bridge(t, b, ...)
  local code, _, err = program.skepctl(t, "bridge", "-S", b.dir .. "/data/control.sock", ...)
  t:equal(code, 0, "skepctl bridge: " .. err .. " status")
end

local function check(t, tl, total, once)
  t:equal(tl.count, total, "messages that arrived")
  for n = 1, total do t:check(tl.seen[n], "number %d is missing", n) end
  if once then t:equal(tl.twice, 0, "messages that came twice (" .. table.concat(tl.list, " ") .. ")") end
end

-- Skep is killed while it sends its queue to mosquitto, several times.
for _, qos in ipairs { 1, 2 } do
  story.both(("out at QoS %d: Skep is killed again and again"):format(qos), "", function(t, version)
    local m = peer.mosquitto(t)
    local b = t:own_broker(conf(t, m.port, "window 20; topic out out/# qos 2;"))
    b:wait_output "m: connected to"
    local far, tl = m:join(), tally()
    far:subscribe("out/#", 2)
    local sent = 0
    for round = 1, 4 do
      local p = b:join { id = "publisher" }
      pour(p, "out/n", sent + 1, sent + 150, qos)
      sent = sent + 150
      collect(far, tl, sent - 145 + 20 * round)
      b:kill()
      b:restart()
    end
    collect(far, tl, sent)
    check(t, tl, sent, qos == 2)
    if qos == 2 then
      far:expect_nothing()
      t:equal(tl.disorder, 0, "messages out of order")
    end
  end)
end

-- The same for what comes in: mosquitto keeps our session, and a subscriber here keeps its own.
for _, qos in ipairs { 1, 2 } do
  story.both(("in at QoS %d: Skep is killed again and again"):format(qos), "", function(t, version)
    local m = peer.mosquitto(t)
    local b = t:own_broker(conf(t, m.port, "topic in in/# qos 2;"))
    b:wait_output "m: connected to"
    local keep = again.keep(t, { id = "reader" })
    local near, tl = b:join(keep), tally()
    near:subscribe("in/#", 2)
    again.fence(near)
    local p, sent = m:join(), 0
    for round = 1, 4 do
      pour(p, "in/n", sent + 1, sent + 150, qos)
      sent = sent + 150
      -- The reader takes part of it and is cut off with the broker.
      collect(near, tl, sent - 140 + 25 * round)
      again.fence(near) -- what it has acknowledged is on the disk
      b:kill()
      b:restart()
      near = b:join(keep)
    end
    collect(near, tl, sent)
    if qos == 2 then near:expect_nothing() end
    check(t, tl, sent, qos == 2)
  end)
end

-- The remote broker is a Skep, which forgets nothing: exactly once over its death.
story.both("out at QoS 2: the remote broker is killed again and again", "", function(t, version)
  local r = t:own_broker ""
  local b = t:own_broker(conf(t, r.ports.port, "window 20; topic out out/# qos 2;"))
  b:wait_output "m: connected to"
  local keep = again.keep(t, { id = "far" })
  local far = r:join(keep)
  far:subscribe("out/#", 2)
  again.fence(far)
  far:disconnect()
  local p, sent = b:join(), 0
  for round = 1, 4 do
    pour(p, "out/n", sent + 1, sent + 150, 2)
    sent = sent + 150
    r:kill()
    r:restart()
  end
  local tl = tally()
  far = r:join(keep) -- its queue has each of them once
  collect(far, tl, sent)
  far:expect_nothing()
  check(t, tl, sent, true)
  t:equal(tl.disorder, 0, "messages out of order")
end)

story.both("in at QoS 2: the remote broker is killed again and again", "", function(t, version)
  local r = t:own_broker ""
  local b = t:own_broker(conf(t, r.ports.port, "topic in in/# qos 2;"))
  b:wait_output "m: connected to"
  local near, tl, sent = b:join(), tally(), 0
  near:subscribe("in/#", 2)
  for round = 1, 4 do
    pour(r:join(), "in/n", sent + 1, sent + 150, 2)
    sent = sent + 150
    collect(near, tl, sent - 140 + 20 * round)
    r:kill()
    r:restart()
  end
  collect(near, tl, sent)
  near:expect_nothing()
  check(t, tl, sent, true)
end)

-- Mosquitto writes its state when it is told to end.
story.both("out at QoS 2: mosquitto ends and starts again", "", function(t, version)
  local m = peer.mosquitto(t, "persistence true")
  local b = t:own_broker(conf(t, m.port, "window 20; topic out out/# qos 2;"))
  b:wait_output "m: connected to"
  local keep = again.keep(t, { id = "far" })
  local far, p, tl, sent = m:join(keep), b:join(), tally(), 0
  far:subscribe("out/#", 2)
  for round = 1, 3 do
    pour(p, "out/n", sent + 1, sent + 150, 2)
    sent = sent + 150
    collect(far, tl, sent - 145 + 20 * round)
    far:close()
    m:restart()
    far = m:join(keep)
  end
  collect(far, tl, sent)
  far:expect_nothing()
  check(t, tl, sent, true)
end)

-- Mosquitto killed has forgotten our session: what it had not finished comes again.
story.both("out at QoS 1 and 2: mosquitto is killed", "", function(t, version)
  local m = peer.mosquitto(t)
  local b = t:own_broker(conf(t, m.port, "window 20; topic out out/# qos 2;"))
  b:wait_output "m: connected to"
  local p, tl, sent, seen = b:join(), tally(), 0, 1
  for round = 1, 3 do
    local far = m:join { id = "far" .. round }
    far:subscribe("out/#", 0) -- it gets at once what mosquitto has, which dies with all else
    if round > 1 then bridge(t, b, "resume", "m") end
    pour(p, "out/n", sent + 1, sent + 100, 1 + round % 2)
    sent = sent + 100
    collect(far, tl, sent - 95 + 20 * round)
    -- nothing more goes out until a subscriber is there again
    bridge(t, b, "pause", "m")
    m:wait_log("Received DISCONNECT from skep%-", seen)
    seen = #m.log
    m:kill()
    while true do -- what it had written before it died
      local got = far:try_next()
      if not got then break end
      if got[1] == "PUBLISH" then note(tl, tonumber(got.payload)) end
    end
    m:restart()
  end
  local far = m:join { id = "far" }
  far:subscribe("out/#", 0)
  bridge(t, b, "resume", "m")
  collect(far, tl, sent)
  check(t, tl, sent, false)
end)

story.both("an outage: the queue waits, and goes out in order", "", function(t, version)
  local m = peer.mosquitto(t, nil, false)
  local b = t:own_broker(conf(t, m.port, "topic out out/# qos 1;"))
  local p = b:join()
  pour(p, "out/n", 1, 300, 1)
  m:restart()
  local far, tl = m:join(), tally()
  far:subscribe("out/#", 1)
  -- some may have come before the subscription: they would be lost to anybody
  p:publish { topic = "out/n", payload = "301", qos = 1 }
  local got
  repeat
    got = tonumber(far:receive().payload)
    t:check(got > tl.last, "%d after %d", got, tl.last)
    note(tl, got)
  until got == 301
end)

story("a backlog goes out at its rate, and QoS 0 goes by it", "", function(t)
  local m = peer.mosquitto(t, "persistence true")
  local b = t:own_broker(conf(t, m.port, "backlog_rate 50/s; topic out out/# qos 1;"))
  local keep = again.keep(t, { id = "far" })
  local far = m:join(keep)
  far:subscribe("out/#", 1)
  far:disconnect()
  b:wait_output "m: connected to"
  m:stop()
  b:wait_output "connection lost"
  local p = b:join()
  pour(p, "out/n", 1, 100, 1)
  m:restart()
  far = m:join(keep)
  far:receive { payload = "1" }
  p:publish { topic = "out/live", payload = "live", qos = 0 }
  local before = 0
  while far:receive().payload ~= "live" do before = before + 1 end
  t:check(before < 98, "%d of the backlog came first", before)
  for _ = before + 2, 100 do far:receive { topic = "out/n" } end
end)

story.both("live_first: live messages go by a backlog of any QoS", "", function(t, version)
  local m = peer.mosquitto(t, "persistence true")
  local b = t:own_broker(conf(t, m.port, "live_first on; backlog_rate 50/s; topic out out/# qos 2;"))
  b:wait_output "m: connected to"
  local keep = again.keep(t, { id = "far" })
  local far = m:join(keep)
  far:subscribe("out/#", 2)
  far:close()
  m:stop()
  b:wait_output "connection lost"
  local p = b:join()
  p:publish { topic = "out/n", payload = "1", qos = 1, retain = true }
  pour(p, "out/n", 2, 60, 1)
  pour(p, "out/n", 61, 100, 2)
  m:restart()
  far = m:join(keep)
  local tl = tally()
  note(tl, tonumber(far:receive({ retain = version == 4 and any { true, false } or nil }).payload))
  p:publish { topic = "out/live", payload = "0", qos = 1 }
  repeat
    local got = far:receive()
    if got.topic == "out/n" then note(tl, tonumber(got.payload)) end
  until got.topic == "out/live"
  t:check(tl.count < 98, "%d of the backlog came first", tl.count)
  collect(far, tl, 100)
  check(t, tl, 100, true)
  t:equal(tl.disorder, 0, "backlog out of order")
  local late = m:join()
  late:subscribe("out/n", 0)
  late:receive { payload = "1", retain = true }
end)

story.both("live_first: Skep is killed while it moves its queue", "", function(t, version)
  local m = peer.mosquitto(t, "persistence true")
  local b = t:own_broker(conf(t, m.port, "live_first on; topic out out/# qos 2;"))
  b:wait_output "m: connected to"
  local keep = again.keep(t, { id = "far" })
  local far = m:join(keep)
  far:subscribe("out/#", 2)
  far:close()
  m:stop()
  b:wait_output "connection lost"
  local sent, tl = 0, tally()
  for _ = 1, 4 do
    pour(b:join(), "out/n", sent + 1, sent + 120, 2)
    sent = sent + 120
    b:kill()
    b:restart()
  end
  m:restart()
  far = m:join(keep)
  collect(far, tl, sent)
  far:expect_nothing()
  check(t, tl, sent, true)
end)

story.both("a reload under traffic: what did not change stays connected", "", function(t, version)
  local m = peer.mosquitto(t)
  local function both(more)
    local v = version == 4 and "version 3.1.1;" or ""
    return ([[load bridge_mqtt {
      connection m { address 127.0.0.1:%d; %s topic both a/# qos 2; }
      connection n { address 127.0.0.1:%d; %s topic out %s qos 1; } }]]):format(m.port, v, m.port, v, more)
  end
  local b = t:own_broker(both "b/#")
  b:wait_output "m: connected to"
  b:wait_output "n: connected to"
  local far, near, tl, back = m:join(), b:join(), tally(), tally()
  far:subscribe("a/out", 2)
  near:subscribe("a/in", 2)
  for round = 1, 4 do
    for n = 1, 50 do
      local id = near:take_id()
      near:send { "PUBLISH", topic = "a/out", payload = tostring((round - 1) * 50 + n), qos = 1, id = id }
      id = far:take_id()
      far:send { "PUBLISH", topic = "a/in", payload = tostring((round - 1) * 50 + n), qos = 1, id = id }
      if n == 25 then b:reload(both(("c%d/#"):format(round))) end
    end
    for _ = 1, 50 do
      near:await { "PUBACK" }
      far:await { "PUBACK" }
    end
    m:wait_log("Received DISCONNECT from skep%-%w+%-n")
  end
  while tl.count < 200 do
    local p = far:await { "PUBLISH", topic = "a/out" }
    far:finish(p)
    note(tl, tonumber(p.payload))
  end
  while back.count < 200 do
    local p = near:await { "PUBLISH", topic = "a/in" }
    near:finish(p)
    note(back, tonumber(p.payload))
  end
  check(t, tl, 200, true)
  check(t, back, 200, true)
  t:equal(m:count_log "New %a+ connected from %S+ as skep%-%w+%-m ", 1, "connections of m")
end)

story("a reload that takes a connection away takes its queue, too", "", function(t)
  local m = peer.mosquitto(t)
  local b = t:own_broker(conf(t, m.port, "topic out a/# qos 1;"))
  b:wait_output "m: connected to"
  local before = b:control("status").sessions
  b:reload(([[load bridge_mqtt { connection other { address 127.0.0.1:%d; topic out a/# qos 1; } }]])
    :format(m.port))
  b:wait_output "other: connected to"
  m:wait_log "Received DISCONNECT from skep%-%w+%-m"
  t:equal(b:control("status").sessions, before, "sessions")
end)

story.both("the module is taken out under traffic, and put back: its queue has waited", "",
  function(t, version)
  local m = peer.mosquitto(t)
  local with = conf(t, m.port, "window 20; topic both x/# qos 2;")
  local b = t:own_broker(with)
  b:wait_output "m: connected to"
  local far, near, p, tl, back = m:join(), b:join(), b:join(), tally(), tally()
  far:subscribe("x/out", 2)
  near:subscribe("x/in", 2)
  local sent = 0
  for round = 1, 3 do
    pour(p, "x/out", sent + 1, sent + 60, 2)
    pour(m:join(), "x/in", sent + 1, sent + 60, 2)
    b:reload ""
    b:wait_output(("load bridge_mqtt: removed.*"):rep(round))
    sent = sent + 60
    pour(p, "x/out", sent + 1, sent + 40, 2)
    pour(m:join(), "x/in", sent + 1, sent + 40, 2)
    sent = sent + 40
    b:reload(with)
    b:wait_output(("m: connected to.*"):rep(round + 1))
  end
  collect(far, tl, sent)
  collect(near, back, sent)
  far:expect_nothing()
  near:expect_nothing()
  check(t, tl, sent, true)
  check(t, back, sent, true)
end)
