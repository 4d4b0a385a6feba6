-- bridge_mqtt with Debian's mosquitto at the other end: topics both ways, transports, what the
-- bridge tells.  Kills and restarts: bridge_safe.lua.
local peer = require "peer"
local program = require "program"

-- A broker with one bridge, named m, which is up.
local function bridged(t, remote_port, body, more)
  local version = t.version == 4 and "version 3.1.1;" or ""
  local b = t:own_broker(([[
%s
load bridge_mqtt { connection m { address 127.0.0.1:%s; %s reconnect_min 50ms; reconnect_max 200ms; %s } }]])
    :format(more or "", remote_port, version, body))
  b:wait_output "m: connected to"
  return b
end

local function pairs_of(user)
  local list = {}
  for _, pair in ipairs(user or {}) do list[pair[1]] = pair[2] end
  return list
end

story.both("messages go out and come in, with their prefixes and QoS", "", function(t, version)
  local m = peer.mosquitto(t)
  local b = bridged(t, m.port, [[
    topic out up/# qos 2 local_prefix here/ remote_prefix there/;
    topic in down/+ qos 2 local_prefix from/ remote_prefix to/;
    topic both "" qos 1 local_prefix one remote_prefix another;]])
  local far, near = m:join(), b:join()
  far:subscribe("#", 2)
  near:subscribe("from/#", 2)
  near:subscribe("one", 2)
  for qos = 0, 2 do
    near:publish { topic = "here/up/x/" .. qos, payload = "p" .. qos, qos = qos }
    far:receive { topic = "there/up/x/" .. qos, payload = "p" .. qos, qos = qos, retain = false }
    far:publish { topic = "to/down/" .. qos, payload = "q" .. qos, qos = qos }
    far:receive { topic = "to/down/" .. qos }
    near:receive { topic = "from/down/" .. qos, payload = "q" .. qos, qos = qos }
  end
  near:publish { topic = "one", payload = "1", qos = 2 }
  near:receive { topic = "one" }
  far:receive { topic = "another", payload = "1", qos = 1 }
  far:publish { topic = "another", payload = "2", qos = 1 }
  far:receive { topic = "another", payload = "2" }
  near:receive { topic = "one", payload = "2" }
  near:publish { topic = "elsewhere", payload = "stays", qos = 1 }
  far:expect_nothing()
  near:expect_nothing()
end)

story("5: properties and expiry go over, and the way that a message took is marked", "",
  function(t)
  local m = peer.mosquitto(t)
  local b = bridged(t, m.port, "topic both a/# qos 2;")
  local far, near = m:join(), b:join()
  far:subscribe("a/#", 2)
  near:subscribe("a/#", 2)
  local function properties()
    return { payload_format = 1, content_type = "text", response_topic = "answer",
      correlation_data = "\0\1\255", message_expiry = 1000, user = { { "b", "1" }, { "b", "" } } }
  end
  for i, way in ipairs { { near, far }, { far, near } } do
    way[1]:publish { topic = "a/" .. i, payload = "x", qos = 2, properties = properties() }
    way[1]:receive { topic = "a/" .. i }
    local got = way[2]:receive { topic = "a/" .. i }
    for name, value in pairs(properties()) do
      if name == "message_expiry" then
        t:check(got.properties[name] > 900 and got.properties[name] <= 1000, "the expiry")
      elseif name ~= "user" then
        t:equal(got.properties[name], value, name)
      end
    end
    t:equal(got.properties.user[1][2], "1", "the first user property")
    t:equal(got.properties.user[2][2], "", "the second user property")
    local path = pairs_of(got.properties.user)["skep-path"]
    t:check(path:find(way[1] == near and "^>%w+$" or "^<%w+$"), "the mark is %s", path)
  end
end)

story.both("a message does not come back the way it went", "", function(t, version)
  local m = peer.mosquitto(t)
  local b = bridged(t, m.port, 'topic both "#" qos 1;')
  local far, near = m:join(), b:join()
  far:subscribe("x/#", 1)
  near:subscribe("x/#", 1)
  for i = 1, 5 do
    near:publish { topic = "x/near", payload = tostring(i), qos = 1 }
    far:publish { topic = "x/far", payload = tostring(i), qos = 1 }
  end
  for _, c in ipairs { near, far } do
    local wants = {}
    for i = 1, 5 do
      wants[#wants + 1] = { "PUBLISH", topic = "x/near", payload = tostring(i) }
      wants[#wants + 1] = { "PUBLISH", topic = "x/far", payload = tostring(i) }
    end
    while #wants > 0 do
      local got = c:receive()
      local hit
      for i, want in ipairs(wants) do
        if want.topic == got.topic and want.payload == got.payload then hit = i break end
      end
      t:check(hit, "%s %s came twice", got.topic, got.payload)
      table.remove(wants, hit)
    end
  end
  near:expect_nothing()
  far:expect_nothing()
  near:expect_nothing()
end)

story("5: two Skeps that bridge each other do not send messages round for ever", "", function(t)
  local a = t:own_broker ""
  local b = bridged(t, a.ports.port, 'topic both "#" qos 1;')
  a:reload(([[load bridge_mqtt { connection back { address 127.0.0.1:%d; topic both "#" qos 1; } }]])
    :format(b.ports.port))
  a:wait_output "back: connected to"
  local at_a, at_b = a:join(), b:join()
  at_a:subscribe("x", 1)
  at_b:subscribe("x", 1)
  at_a:publish { topic = "x", payload = "from a", qos = 1 }
  -- Both bridges take it over, and each of the two comes back once, with a mark that ends it there.
  for _ = 1, 3 do at_a:receive { topic = "x", payload = "from a" } end
  for _ = 1, 2 do at_b:receive { topic = "x", payload = "from a" } end
  for _ = 1, 3 do
    at_a:expect_nothing()
    at_b:expect_nothing()
  end
  at_b:publish { topic = "x", payload = "from b", qos = 1 }
  for _ = 1, 3 do at_b:receive { topic = "x", payload = "from b" } end
  for _ = 1, 2 do at_a:receive { topic = "x", payload = "from b" } end
  for _ = 1, 3 do
    at_a:expect_nothing()
    at_b:expect_nothing()
  end
end)

story.both("mosquitto bridges to Skep: nothing comes back", "", function(t, version)
  local b = t:own_broker ""
  local m = peer.mosquitto(t, ([[
persistence false
connection skep
address 127.0.0.1:%d
topic # both 1
bridge_protocol_version %s
notifications false
restart_timeout 1]]):format(b.ports.port, version == 5 and "mqttv50" or "mqttv311"))
  m:wait_log "Received SUBACK"
  local far, near = m:join(), b:join()
  far:subscribe("x/#", 1)
  near:subscribe("x/#", 1)
  near:publish { topic = "x/near", payload = "1", qos = 1 }
  near:receive { topic = "x/near" }
  far:receive { topic = "x/near", payload = "1" }
  far:publish { topic = "x/far", payload = "2", qos = 1 }
  far:receive { topic = "x/far" }
  near:receive { topic = "x/far", payload = "2" }
  for _ = 1, 3 do
    far:expect_nothing()
    near:expect_nothing()
  end
end)

local SECURE = [[
listener ${port} 127.0.0.1
allow_anonymous true
listener ${tls} 127.0.0.1
cafile %s/ca.pem
certfile %s/server.pem
keyfile %s/server.key
require_certificate %s
listener ${wss} 127.0.0.1
protocol websockets
cafile %s/ca.pem
certfile %s/server.pem
keyfile %s/server.key
listener ${ws} 127.0.0.1
protocol websockets
]]

local function secure(t, require_certificate)
  local dir = t:certs()
  return peer.mosquitto(t, SECURE:format(dir, dir, dir, require_certificate, dir, dir, dir))
end

-- big: what goes out; mosquitto does not send large messages over WebSocket.
local function there_and_back(t, b, m, big, back)
  local far, near = m:join(), b:join()
  far:subscribe("out/#", 1)
  near:subscribe("in/#", 1)
  near:publish { topic = "out/1", payload = big or "1", qos = 1 }
  t:check(far:receive({ topic = "out/1" }).payload == (big or "1"), "the payload changed")
  far:publish { topic = "in/1", payload = back or "2", qos = 1 }
  t:check(near:receive({ topic = "in/1" }).payload == (back or "2"), "the payload changed")
end

local BIG = ("0123456789abcdef"):rep(40000)
local TOPICS = " topic out out/# qos 1; topic in in/# qos 1;"

story.both("over TLS, to a broker whose certificate our authority signed", "", function(t)
  local m = secure(t, "false")
  local b = bridged(t, m.ports.tls, ("tls { ca %s/ca.pem; }"):format(t:certs()) .. TOPICS)
  there_and_back(t, b, m)
  there_and_back(t, b, m, BIG, BIG)
end)

story("over TLS with a certificate of our own", "", function(t)
  local m = secure(t, "true")
  local dir = t:certs()
  local b = bridged(t, m.ports.tls, ("tls { ca %s/ca.pem; certificate %s/client.pem; key %s/client.key; }")
    :format(dir, dir, dir) .. TOPICS)
  there_and_back(t, b, m)
end)

story("a certificate for another name, or of another authority, is not believed", "", function(t)
  local m = secure(t, "false")
  local dir = t:certs()
  local b = t:own_broker(([[
load bridge_mqtt {
  connection name { address 127.0.0.1:%d; tls { ca %s/ca.pem; server_name other.test; } topic out a; }
  connection authority { address 127.0.0.1:%d; tls { ca %s/foreign.pem; } topic out a; }
}]]):format(m.ports.tls, dir, m.ports.tls, dir))
  b:wait_output "name: 127.0.0.1:%d+: TLS: its certificate: hostname mismatch"
  b:wait_output "authority: 127.0.0.1:%d+: TLS: its certificate: "
  t:check(not b.output:find("connected to", 1, true), "it connected")
end)

story.both("over WebSocket, plain and with TLS", "", function(t)
  local m = secure(t, "false")
  local plain = bridged(t, m.ports.ws, "websocket /mqtt; client_id plain;" .. TOPICS)
  there_and_back(t, plain, m)
  there_and_back(t, plain, m, BIG)
  plain:stop()
  local b = bridged(t, m.ports.wss, ("websocket /mqtt; tls { ca %s/ca.pem; }"):format(t:certs())
    .. TOPICS)
  there_and_back(t, b, m)
  there_and_back(t, b, m, BIG)
end)

story("over WebSocket with TLS to another Skep, which sends large messages, too", "", function(t)
  local dir = t:certs()
  local remote = t:own_broker(([[
listener mqtt { bind 127.0.0.1:${port}; }
listener wss { bind 127.0.0.1:${wss_port}; tls { certificate %s/server.pem; key %s/server.key; } }]])
    :format(dir, dir))
  local b = bridged(t, remote.ports.wss_port, ("websocket /mqtt; tls { ca %s/ca.pem; }"):format(dir)
    .. TOPICS)
  there_and_back(t, b, remote, BIG, BIG)
end)

story.both("with user name and password", "", function(t)
  local m = peer.mosquitto(t, [[
per_listener_settings true
listener ${port} 127.0.0.1
allow_anonymous true
listener ${closed} 127.0.0.1
password_file ${dir}/users]], false)
  t:equal(program.run(t, "mosquitto_passwd", "-b", "-c", m.dir .. "/users", "bee", "honey"), 0,
    "mosquitto_passwd")
  m:restart()
  local bad = t:own_broker(([[
load bridge_mqtt { connection m { address 127.0.0.1:%d; version %s; username bee; password wax; topic out a; } }]])
    :format(m.ports.closed, t.version == 5 and "5" or "3.1.1"))
  bad:wait_output "m: 127.0.0.1:%d+: .*not authorized"
  t:check(not bad.output:find("wax", 1, true), "the password is in the log")
  local b = bridged(t, m.ports.closed, "username bee; password honey;" .. TOPICS)
  there_and_back(t, b, m)
end)

story("addresses are tried in turn", "", function(t)
  local m = peer.mosquitto(t)
  local dead = host.free_port()
  local b = bridged(t, ("%d 127.0.0.1:%d"):format(dead, m.port), TOPICS)
  b:wait_output("m: 127.0.0.1:" .. dead .. ": Connection refused")
  there_and_back(t, b, m)
end)

story.both("several connections: each topic keeps its order", "", function(t)
  local m = peer.mosquitto(t)
  local b = bridged(t, m.port, 'connections 4; topic out "#" qos 1;')
  local far, near = m:join(), b:join()
  far:subscribe("#", 1)
  local last, count = {}, 400
  for i = 1, count do
    near:publish { topic = "t" .. i % 20, payload = tostring(i), qos = 1 }
  end
  for _ = 1, count do
    local got = far:receive()
    local n = tonumber(got.payload)
    t:check(n > (last[got.topic] or 0), "%s: %d after %d", got.topic, n, last[got.topic] or 0)
    last[got.topic] = n
  end
  t:equal(m:count_log "New %a+ connected from %S+ as skep%-", 4, "connections")
end)

story.both("retained messages go over once, and again only when they change", "", function(t)
  local m = peer.mosquitto(t)
  local far = m:join()
  far:publish { topic = "in/kept", payload = "k", qos = 1, retain = true }
  local b = bridged(t, m.port, TOPICS)
  local near = b:join()
  near:publish { topic = "out/kept", payload = "o", qos = 1, retain = true }
  local late = m:join()
  late:subscribe("out/#", 1)
  late:receive { topic = "out/kept", payload = "o", retain = true }
  near:subscribe("in/#", 1)
  near:receive { topic = "in/kept", payload = "k", retain = true }
  m:join():publish { topic = "in/fence", payload = "f", qos = 1 }
  near:receive { topic = "in/fence" }
  near:publish { topic = "out/kept", payload = "", qos = 1, retain = true }
  late:receive { topic = "out/kept", payload = "" }
  local later = m:join()
  later:subscribe("out/#", 1)
  later:expect_nothing()
end)

story("the status topic tells both sides, also when the bridge is killed", "", function(t)
  local m = peer.mosquitto(t)
  local b = bridged(t, m.port, "status_topic bridges/m; " .. TOPICS)
  local far, near = m:join(), b:join()
  far:subscribe("bridges/#", 1)
  far:receive { topic = "bridges/m", payload = "1", retain = true }
  near:subscribe("bridges/#", 1)
  near:receive { topic = "bridges/m", payload = "1", retain = true }
  m:kill()
  near:receive { topic = "bridges/m", payload = "0" }
  m:restart()
  near:receive { topic = "bridges/m", payload = "1" }
  far = m:join()
  far:subscribe("bridges/#", 1)
  far:receive { topic = "bridges/m", payload = "1" }
  b:kill()
  far:receive { topic = "bridges/m", payload = "0" }
  b:restart()
  far:receive { topic = "bridges/m", payload = "1" }
  b:stop()
  far:receive { topic = "bridges/m", payload = "0" }
end)

story("skepctl bridge tells how it is, pauses and resumes it", "", function(t)
  local m = peer.mosquitto(t)
  local b = bridged(t, m.port, TOPICS)
  local function ctl(...)
    return program.skepctl(t, "bridge", "-S", b.dir .. "/data/control.sock", ...)
  end
  there_and_back(t, b, m)
  local code, out, err = ctl("status", "--json")
  t:equal(code, 0, "skepctl bridge status: " .. err)
  for _, part in ipairs { '"connection":%s*"m"', '"state":%s*"up"', '"of":%s*1', '"reconnects":%s*0',
    '"address":%s*"127.0.0.1:' .. m.port } do
    t:check(out:find(part), "%s is not in %s", part, out)
  end
  code, out = ctl "status"
  t:check(out:find "connection" and out:find "state", "no table: %s", out)
  t:equal(ctl("pause", "m"), 0, "pause")
  m:wait_log "Received DISCONNECT from skep"
  b:join():publish { topic = "out/x", payload = "kept", qos = 1 }
  _, out = ctl("status", "--json", "m")
  t:check(out:find '"state":%s*"paused"', "not paused: %s", out)
  local far = m:join()
  far:subscribe("out/#", 1)
  far:expect_nothing()
  t:equal(ctl "resume", 0, "resume")
  far:receive { topic = "out/x", payload = "kept" }
  local from = #m.log
  t:equal(ctl("reconnect", "m"), 0, "reconnect")
  m:wait_log("New client connected from %S+ as skep", from)
  code, _, err = ctl("pause", "nobody")
  t:check(code ~= 0 and err:find "there is no connection nobody", "pause nobody: %s", err)
  code, _, err = ctl "dance"
  t:check(code ~= 0 and err:find "the commands are status", "dance: %s", err)
end)

story("a bridge that is down raises an alarm, and takes it back", "", function(t)
  local m = peer.mosquitto(t, nil, false)
  local b = t:own_broker(([[
load bridge_mqtt { connection m { address 127.0.0.1:%d; alarm_after 100ms; reconnect_min 50ms; reconnect_max 200ms; %s } }]])
    :format(m.port, TOPICS))
  b:wait_output "down_m.*bridge m is down: Connection refused"
  m:restart()
  b:wait_output "m: connected to"
  b:wait_output "alarm down_m: cleared"
end)

story("a configuration that makes no sense is refused with words", "", function(t)
  local b = t:own_broker ""
  local cases = {
    ["connection m { address x; topic sideways a; }"] = "a topic goes in, out or both, not 'sideways'",
    ["connection m { address x; topic out a/#/b; }"] = "'a/#/b' is not a topic filter",
    ["connection m { address x; topic out a qos 3; }"] = "the QoS of a topic is 0, 1 or 2",
    ["connection m { address x; topic out a colour red; }"] = "a topic has no 'colour'",
    ["connection m { address x; topic out a remote_prefix b/+; }"] = "is not a topic filter\n.*\n|a prefix holds no wildcard",
    ["connection m { address x; }"] = "has no topic",
    ["connection m { address x; topic out a; tls { ca /nowhere; } }"] = "authorities cannot be read",
    ["connection m { address x; topic in a share g; version 3.1.1; }"] = "shared subscriptions came with MQTT 5",
  }
  for text, complaint in pairs(cases) do
    local path = b.dir .. "/bad.conf"
    require("broker").write_file(path, "load bridge_mqtt { " .. text .. " }\n")
    local code, out, err = program.run(t, require("broker").command, "-t", "-c", path)
    t:check(code ~= 0, "%s is taken", text)
    local hit = false
    for pattern in complaint:gmatch("[^|]+") do hit = hit or (out .. err):find(pattern) end
    t:check(hit, "%s: %s", text, out .. err)
  end
end)

story("5: what the remote broker does not take is lowered, or dropped and counted", "", function(t)
  local r = t:own_broker "limits { maximum_qos 1; retain off; max_packet 2000; }"
  local b = bridged(t, r.ports.port, "topic out out/# qos 2;")
  local far, near = r:join(), b:join()
  far:subscribe("out/#", 1)
  near:publish { topic = "out/1", payload = "1", qos = 2, retain = true }
  far:receive { topic = "out/1", payload = "1", qos = 1, retain = false }
  near:publish { topic = "out/2", payload = ("x"):rep(3000), qos = 2 }
  near:publish { topic = "out/3", payload = "3", qos = 2 }
  far:receive { topic = "out/3", payload = "3", qos = 1 }
  local _, out = program.skepctl(t, "bridge", "-S", b.dir .. "/data/control.sock", "status", "--json")
  t:check(out:find '"dropped":%s*1' and out:find '"backlog":%s*0', "%s", out)
end)

story("5: what expires while the line is down does not go out", "", function(t)
  local m = peer.mosquitto(t, "persistence true")
  local b = bridged(t, m.port, "topic out out/# qos 1;")
  local far = m:join { id = "far", clean_start = false, properties = { session_expiry = 1000 } }
  far:subscribe("out/#", 1)
  m:stop()
  b:wait_output "connection lost"
  local near = b:join()
  near:publish { topic = "out/1", payload = "short", qos = 1, properties = { message_expiry = 1 } }
  near:publish { topic = "out/2", payload = "long", qos = 1, properties = { message_expiry = 1000 } }
  t:pass(1.2)
  m:restart()
  far = m:join { id = "far", clean_start = false, properties = { session_expiry = 1000 } }
  local got = far:receive { topic = "out/2", payload = "long" }
  t:check(got.properties.message_expiry < 1000, "its expiry is %d", got.properties.message_expiry)
end)

story("by name, and over a Unix socket", "", function(t)
  local r = t:own_broker [[
listener mqtt { bind 127.0.0.1:${port}; }
listener local { bind unix:${dir}/mqtt.sock; }]]
  for _, address in ipairs { "localhost:" .. r.ports.port, "unix:" .. r.dir .. "/mqtt.sock" } do
    local b = t:own_broker(([[
load bridge_mqtt { connection m { address %s; reconnect_min 50ms; reconnect_max 200ms; %s } }]])
      :format(address, TOPICS))
    b:wait_output "m: connected to"
    there_and_back(t, b, r)
    b:stop()
  end
end)

-- The first connection has the QoS 2 ids of the queue's session; the others look after themselves.
story.both("several connections take messages in", "", function(t)
  local m = peer.mosquitto(t)
  local b = bridged(t, m.port,
    "connections 3; topic in a/# qos 1; topic in b/# qos 2; topic in c/# qos 1; topic in d/# qos 0;")
  local far, near = m:join(), b:join()
  near:subscribe("#", 2)
  m:wait_log "New %a+ connected from %S+ as skep%-%w+%-m%-2"
  for _ = 1, 3 do b:wait_output "connected to.*connected to.*connected to" end
  for i = 1, 40 do
    for _, name in ipairs { "a", "b", "c", "d" } do
      far:publish { topic = name .. "/x", payload = tostring(i), qos = 2 }
    end
  end
  local last = {}
  for _ = 1, 160 do
    local got = near:receive()
    t:equal(tonumber(got.payload), (last[got.topic] or 0) + 1, got.topic)
    last[got.topic] = tonumber(got.payload)
  end
  near:expect_nothing()
end)

story("clean_start: nothing is kept on either side", "", function(t)
  local m = peer.mosquitto(t)
  local b = bridged(t, m.port, "clean_start on;" .. TOPICS)
  there_and_back(t, b, m)
  t:check(m.log:find "connected from %S+ as skep%-%w+%-m %(p5, c1", "not a clean start")
  b:restart()
  b:wait_output("connected to.*connected to")
  there_and_back(t, b, m)
end)

story("the examples are good configurations", "", function(t)
  local root = debug.getinfo(1, "S").source:match("^@(.*)/tests/scenario/[^/]*$") or "."
  for _, name in ipairs { "bridge_mqtt", "metrics" } do
    local code, out, err = program.run(t, "env", "HQ_PASSWORD=x", require("broker").command, "-t", "-c",
      root .. "/modules/" .. name .. "/example.conf")
    t:equal(code, 0, name .. ": " .. out .. err)
  end
end)
