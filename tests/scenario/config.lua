-- The command line and the configuration of the real binary: checking, reloading, stopping.
local broker = require "broker"
local link = require "link"
local program = require "program"

-- Runs the binary with these words until it ends; returns exit status and output.
local function run(t, ...)
  if broker.mosquitto then t:skip("needs Skep") end
  local code, out, err = program.run(t, broker.command, ...)
  return code, out .. err
end

local function file(t, text)
  t.dir = t.dir or host.temp_dir()
  local path = t.dir .. "/skep.conf"
  broker.write_file(path, text)
  return path
end

story("-t accepts a good configuration without starting", "MQTT-7.0.0-2/3.1.1", function(t)
  local code, text = run(t, "-t", "-c", file(t,
    "threads 1;\ndata_dir data;\nlistener mqtt { bind 127.0.0.1:1; }\n"))
  t:equal(code, 0, "the exit status")
  t:check(not text:find("error"), text)
  host.remove_tree(t.dir)
end)

story("-t names file, line and column, and a near name", "MQTT-7.0.0-2/3.1.1", function(t)
  local path = file(t, "threads 1;\nlimits {\n  max_pakcet 1m;\n}\n")
  local code, text = run(t, "-t", "-c", path)
  t:check(code ~= 0, "a misspelt directive was accepted")
  t:check(text:find("skep.conf:3:3", 1, true), "no place in: %s", text)
  t:check(text:find("max_packet", 1, true), "no hint in: %s", text)
  for _, bad in ipairs { "threads many;", "limits { max_packet 1q; }", "listener mqtt { }",
    "threads 1", "limits { ",
    "limits { receive_maximum 0; }", "limits { receive_maximum 70000; }", "nonsense;", "}",
      "threads 1; threads 2;" } do
    code, text = run(t, "-t", "-c", file(t, bad .. "\n"))
    t:check(code ~= 0, "accepted: %s", bad)
    t:check(text:find("skep.conf:%d+"), "no place for %s in: %s", bad, text)
  end
  host.remove_tree(t.dir)
end)

story("-T prints what is in force, secrets left out", "MQTT-7.0.0-2/3.1.1", function(t)
  local code, text = run(t, "-T", "-c", file(t, "threads 1;\nlimits { max_packet 77k; }\n"))
  t:equal(code, 0, "the exit status")
  t:check(text:find("max_packet%s+77k"), "not in force: %s", text)
  t:check(text:find("receive_maximum%s+64"), "a default is missing: %s", text)
  host.remove_tree(t.dir)
end)

story("a missing configuration file is an error in words", "MQTT-7.0.0-2/3.1.1", function(t)
  local code, text = run(t, "-c", "/nonexistent/skep.conf")
  t:check(code ~= 0, "it started")
  t:check(text:find("/nonexistent/skep.conf", 1, true), "it said: %s", text)
end)

story("limits are reloaded; clients stay", "MQTT-3.2.2-15/5", function(t)
  local b = t:own_broker "limits { max_packet 8k; }"
  local old = b:join()
  t:equal(old.connack.properties.maximum_packet_size, 8192, "before")
  b:reload "limits { max_packet 16k; }"
  local deadline, size = t:now() + 10, nil
  repeat size = b:join().connack.properties.maximum_packet_size until size == 16384
    or t:now() > deadline
  t:equal(size, 16384, "afterwards")
  old:ping()
end)

story("a bad line in a reload changes nothing and is told", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker "limits { max_packet 8k; }"
  local old = b:join()
  b:reload "limits { max_packet 16k; max_pakcet 1; }"
  b:wait_output "skep%.conf:%d+:%d+"
  t:equal(b:join().connack.properties.maximum_packet_size, 8192, "the limit")
  old:ping()
end)

story("listeners come and go with a reload", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker "listener mqtt { bind 127.0.0.1:${port}; }"
  local old = b:join()
  b:reload "listener mqtt { bind 127.0.0.1:${port}; }\nlistener second { bind 127.0.0.1:${second_port}; }"
  b:wait_listening { port = b.ports.second_port }
  local guest = b:join { port = b.ports.second_port }
  guest:ping()
  b:reload "listener mqtt { bind 127.0.0.1:${port}; }"
  local deadline = t:now() + 10
  while link.try_open { port = b.ports.second_port } do
    t:check(t:now() < deadline, "the second listener is still there")
  end
  old:ping()
  b:join():ping()
end)

story("a listener becomes another kind on its address; clients stay", "MQTT-7.0.0-2/3.1.1",
  function(t)
  local b = t:own_broker "listener mqtt { bind 127.0.0.1:${port}; bind unix:${dir}/m.sock; }"
  local old, near = b:join(), b:join { path = b.dir .. "/m.sock" }
  b:reload "listener mqtt { bind 127.0.0.1:${port}; websocket on; bind unix:${dir}/m.sock; }"
  b:wait_output "configuration reloaded"
  b:join { ws = {} }:ping()
  b:join { path = b.dir .. "/m.sock", ws = {} }:ping()
  -- another name for the same address
  b:reload "limits { max_packet 3k; }\nlistener renamed { bind 127.0.0.1:${port}; bind unix:${dir}/m.sock; }"
  b:wait_output "limits.max_packet: 1m %-> 3k.*configuration reloaded"
  b:join():ping()
  b:join { path = b.dir .. "/m.sock" }:ping()
  -- a reload that fails half way leaves every socket as it was
  b:reload("limits { max_packet 5k; }\nlistener renamed { bind 127.0.0.1:${port}; websocket on; bind unix:${dir}/m.sock; }\n"
    .. "listener impossible { bind 192.0.2.1:1; anonymous allow; }")
  b:wait_output "reload refused"
  b:join():ping()
  local c = b:join { path = b.dir .. "/m.sock" }
  t:equal(c.connack.properties.maximum_packet_size, 3072, "the limit")
  old:ping()
  near:ping()
end)

story("a port that is taken stops the start in words", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker()
  t.dir = host.temp_dir()
  local code, text = run(t, "-c", file(t, ("data_dir %s;\nlistener mqtt { bind 127.0.0.1:%d; }\n")
    :format(t.dir, b.ports.port)))
  t:check(code ~= 0, "it started")
  t:check(text:find(tostring(b.ports.port), 1, true), "it said: %s", text)
  host.remove_tree(t.dir)
end)

story("the log is opened again on USR1", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker "log { to file ${dir}/skep.log; level debug; }"
  b:join { id = t.topic .. "first" }
  t:check(os.rename(b.dir .. "/skep.log", b.dir .. "/old.log"))
  b:signal "USR1"
  local deadline = t:now() + 10
  while not host.mode(b.dir .. "/skep.log") do
    t:check(t:now() < deadline, "no new file")
    b:join():ping()
  end
end)


story("$SYS topics tell the broker's figures under the customary names", "MQTT-4.7.2-1", function(t)
  local b = t:own_broker "sys_topics { interval 1s; }"
  local c = b:join()
  c:subscribe("$SYS/#", 0)
  local seen = {}
  local deadline = t:now() + 8
  local wanted = { "$SYS/broker/version", "$SYS/broker/uptime", "$SYS/broker/clients/connected",
    "$SYS/broker/messages/received", "$SYS/broker/messages/sent", "$SYS/broker/publish/messages/sent",
      "$SYS/broker/bytes/received" }
  local function all()
    for _, name in ipairs(wanted) do
      if not seen[name] then return false end
    end
    return seen["$SYS/broker/clients/connected"] == "1" -- the first may be from before we came
  end
  while not all() and t:now() < deadline do
    local m = c:try_next(2)
    if m then seen[m.topic] = m.payload end
  end
  for _, name in ipairs(wanted) do t:check(seen[name], "no %s", name) end
  t:equal(seen["$SYS/broker/clients/connected"], "1", "connected clients")
end)

story.both("nobody publishes to $SYS", "MQTT-4.7.2-1", function(t, version)
  local b = t:own_broker "sys_topics { interval 1s; }"
  local watcher = b:join()
  watcher:subscribe("$SYS/forged/" .. t.topic, 1)
  local c = b:join()
  local ack = c:publish { topic = "$SYS/forged/" .. t.topic, payload = "forged", qos = 1,
    retain = true }
  if version == 5 then t:equal(ack.reason, 0x87, "PUBACK") end
  c:ping()
  watcher:expect_nothing()
  -- nor by a will
  local w = b:client { will = { topic = "$SYS/forged/" .. t.topic, payload = "forged" } }
  local got = w:try_next()
  if got and got.reason == 0 then w:abort() end
  watcher:expect_nothing()
end)
