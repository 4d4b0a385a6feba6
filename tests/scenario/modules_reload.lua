-- Modules are reloaded: replaced files, failures, warming up, what is kept, clients that stay.
local broker = require "broker"
local sched = require "sched"
local modules = require "modules"

local conf, copy, count, call, reload, rewrite, may_publish
  = modules.conf, modules.copy, modules.count, modules.call, modules.reload, modules.rewrite, modules.may_publish

-- Clients that talk without a pause until told to stop; each finds all of its messages.
local function traffic(t, b, clients)
  local busy = { stop = false, sent = 0, left = clients }
  for i = 1, clients do
    local c = b:join { id = ("%s-%d"):format(t.topic, i) }
    local topic = ("%s/%d"):format(t.topic, i)
    c:subscribe(topic, 1)
    local function talk()
      local n = 0
      while not busy.stop do
        n = n + 1
        c:publish { topic = topic, payload = tostring(n), qos = 1 }
        c:receive { payload = tostring(n) }
        busy.sent = busy.sent + 1
      end
      c:ping()
    end
    sched.start(function()
      local ok, err = pcall(talk)
      if not ok then busy.err = busy.err or err end
      busy.left = busy.left - 1
      sched.signal(busy)
    end)
  end
  function busy:finish()
    self.stop = true
    local deadline = t:now() + 20
    while self.left > 0 do
      t:check(sched.listen(self, deadline) or self.left == 0, "%d clients hang", self.left)
    end
    if self.err then error(self.err, 0) end
  end
  return busy
end

story("a replaced .so is picked up under traffic; no client is dropped", "MQTT-7.0.0-2/3.1.1",
  function(t)
  local b = t:own_broker(conf "load ./p.so { tag a; }", { prepare = function(b)
    copy("probe.so", b.dir .. "/p.so")
  end })
  local busy = traffic(t, b, 8)
  local before = b:control("status").connections
  for round = 1, 10 do
    local version = round % 2 == 1 and 2 or 1
    copy((version == 2 and "next/" or "") .. "probe.so", b.dir .. "/p.so")
    local answer = reload(b)
    t:check(answer:find('"ok":true', 1, true), answer)
    t:check(answer:find("module probe: loaded anew: its file changed", 1, true), "it said: %s", answer)
    t:check(b:ask('{"cmd":"module","do":"info","name":"probe"}'):find(('"version":"%d"')
      :format(version), 1, true), "round %d runs the old code", round)
  end
  t:equal(b:control("status").connections, before, "connections")
  local sent = busy.sent
  busy:finish()
  t:check(busy.sent > sent or sent > 0, "nothing was sent")
  b:wait_output "unload v1.*unload v2"
  t:equal(count(b, "probe: load v"), 11, "loads")
  b:stop()
  t:equal(count(b, "probe: unload v"), 11, "unloads")
  t:equal(count(b, "probe: stop v"), 11, "stops")
end)

story("a file that is overwritten in place disturbs nobody", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker(conf "load ./p.so;", { prepare = function(b)
    copy("probe.so", b.dir .. "/p.so")
  end })
  broker.write_file(b.dir .. "/p.so", ("garbage "):rep(10000))
  t:check(call(b, "probe", "echo", "x"):find('"word":"x"', 1, true), "it does not answer")
  local answer = reload(b)
  t:check(answer:find('"ok":false', 1, true), answer)
  t:check(answer:find("p.so", 1, true), answer)
  t:check(call(b, "probe", "echo", "x"):find('"word":"x"', 1, true), "it does not answer")
end)

story("a new instance sees the old one of the same code, and only of that", "MQTT-7.0.0-2/3.1.1",
  function(t)
  local b = t:own_broker(conf "load ./p.so { tag one; }", { prepare = function(b)
    copy("probe.so", b.dir .. "/p.so")
  end })
  rewrite(b, conf "load ./p.so { tag two; }")
  reload(b)
  b:wait_output "start v1 previous=one"
  copy("next/probe.so", b.dir .. "/p.so")
  reload(b)
  b:wait_output "start v2 previous=none"
end)

story("a reload that fails keeps what runs", "MQTT-7.0.0-2/3.1.1", function(t)
  local good = conf "load probe { tag good; }\nlimits { max_packet 8k; }"
  local b = t:own_broker(good)
  local old = b:join()
  for _, case in ipairs {
    { "load probe { tag bad; }\nload probe:b { refuse on; }", "module probe:b refused to load" },
    { "load probe { tag bad; warm fail; }", "module probe is not ready: the oven is cold" },
    { "load probe { tag bad; }\nload nowhere;", "there is no module nowhere" },
    { "load probe { tag bad; colour red; }", "unknown directive colour" },
    { "load probe { tag bad; }\nload options { text wrong; }", "text is wrong" },
    { "load probe { tag bad; }\nlistener x { bind 192.0.2.1:1; anonymous allow; }", "192.0.2.1" },
  } do
    rewrite(b, conf(case[1]) .. "\nlimits { max_packet 16k; }")
    local answer = reload(b)
    t:check(answer:find('"ok":false', 1, true), "%s: %s", case[1], answer)
    t:check(answer:find(case[2], 1, true), "%s: %s", case[1], answer)
    t:equal(b:join().connack.properties.maximum_packet_size, 8192, "the limit")
    old:ping()
    local info = b:ask '{"cmd":"module","do":"info","name":"probe"}'
    t:check(info:find("tag good;", 1, true), "another instance runs: %s", info)
  end
  t:equal(count(b, "start v1"), 1, "starts")
  rewrite(b, good)
  t:check(reload(b):find('"ok":true', 1, true), "the good one is refused")
end)

story("a module warms up before it is swapped in", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker(conf "load probe { tag cold; warm later; }")
  t:equal(count(b, "warm v1"), 0, "at the start it is not asked to")
  rewrite(b, conf "load probe { tag warm; warm later; }")
  t:check(reload(b):find('"ok":true', 1, true), "refused")
  b:wait_output "load v1 tag=warm.*warm v1.*start v1 previous=cold.*stop v1 tag=cold"
end)

story("SKEP_KEEP: an instance that did not change stays", "MQTT-7.0.0-2/3.1.1", function(t)
  local text = "load keeper { tag a; file ${dir}/data.txt; }\nload probe;"
  local b = t:own_broker(conf(text), { prepare = function(b)
    broker.write_file(b.dir .. "/data.txt", "1\n")
  end })
  local function loads() return count(b, "keeper: load v1") end
  reload(b)
  t:equal(loads(), 1, "loads, nothing changed")
  t:equal(count(b, "probe: load v1"), 2, "loads of one that does not keep")
  broker.write_file(b.dir .. "/data.txt", "2\n")
  reload(b)
  t:equal(loads(), 2, "loads, the file that an option names changed")
  rewrite(b, conf(text:gsub("tag a", "tag b")))
  reload(b)
  t:equal(loads(), 3, "loads, an option changed")
  rewrite(b, conf(text:gsub("tag a", "tag b; on_error next")))
  reload(b)
  t:equal(loads(), 4, "loads, on_error changed")
  for _ = 1, 3 do reload(b) end
  t:equal(loads(), 4, "loads, nothing changed")
  t:check(call(b, "keeper", "echo", "x"):find('"word":"x"', 1, true), "it does not answer")
end)

story("the plan of a reload names modules", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker(conf "load keeper;\nload probe:a;\nload ./p.so:c;", { prepare = function(b)
    copy("probe.so", b.dir .. "/p.so")
  end })
  copy("next/probe.so", b.dir .. "/p.so")
  rewrite(b, conf "load keeper;\nload probe:b;\nload ./p.so:c;")
  local answer = b:ask '{"cmd":"reload","plan":true}'
  for _, text in ipairs {
    "module probe:b: would be loaded",
    "module probe:c: would be loaded anew: its file changed",
    "module probe:a: would be unloaded",
  } do
    t:check(answer:find(text, 1, true), "no '%s' in: %s", text, answer)
  end
  t:check(not answer:find("module keeper", 1, true), "keeper is named in: %s", answer)
  t:equal(count(b, "load v"), 3, "loads")
end)

story("while a module warms up, all else goes on", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker(conf "load probe { tag a; }")
  local function begin()
    local socket = require("link").open { path = b.dir .. "/data/control.sock" }
    socket:send '{"cmd":"reload"}\n'
    return socket
  end
  local function heard(socket)
    local text = socket:recv(require("link").deadline(20))
    socket:close()
    return text
  end
  rewrite(b, conf "load probe { tag b; warm never; }")
  local waiting = begin()
  b:wait_output "warm v1"
  t:check(call(b, "probe", "echo", "x"):find('"word":"x"', 1, true), "it does not answer")
  t:check(b:ask("reload"):find("another reload is under way", 1, true), "two at a time")
  b:join():ping()
  local answer = heard(waiting) -- after 10 s
  t:check(answer:find("module probe was not ready within 10 s", 1, true), answer)
  b:wait_output "unload v1 tag=b"
  -- the end does not wait for it
  waiting = begin()
  b:wait_output "warm v1.*warm v1"
  local began = t:now()
  b:stop()
  t:check(t:now() - began < 8, "the end took %.1f s", t:now() - began)
  t:check(b.output:find("unload v1 tag=b.*unload v1 tag=[ab]"), "not unloaded")
  waiting:close()
end)

story("clients that are there follow the rules of a reload", "MQTT-3.3.5-2", function(t)
  local b = t:own_broker(conf "load list { topics old; }")
  local c = b:join()
  t:check(may_publish(c, "old") and not may_publish(c, "new"), "before")
  rewrite(b, conf "load list { topics new; }")
  reload(b)
  t:check(may_publish(c, "new") and not may_publish(c, "old"), "afterwards")
  rewrite(b, "")
  reload(b)
  t:check(may_publish(c, "new") and may_publish(c, "old"), "without the module")
end)

story("the door is never open while modules are swapped", "MQTT-3.1.4-2", function(t)
  local text = "load gate { password sesame; }\nload list { topics good; }\nload probe { tag %d; }"
  local b = t:own_broker(conf(text:format(0)))
  local busy = { stop = false, left = 3, tried = 0 }
  local function loop(fn)
    sched.start(function()
      local ok, err = pcall(function()
        while not busy.stop do
          fn()
          busy.tried = busy.tried + 1
        end
      end)
      if not ok then busy.err = busy.err or err end
      busy.left = busy.left - 1
      sched.signal(busy)
    end)
  end
  local inside = b:join { username = "u", password = "sesame" }
  loop(function()
    local c = b:client { username = "u", password = "wrong" }
    c:expect_refused { 0x86, 4 }
    c:close()
  end)
  loop(function()
    local c = b:join { username = "u", password = "sesame" }
    c:close()
  end)
  loop(function()
    t:check(may_publish(inside, "good") and not may_publish(inside, "bad"), "the rules do not hold")
  end)
  for round = 1, 20 do
    rewrite(b, conf(text:format(round)))
    t:check(reload(b):find('"ok":true', 1, true), "refused")
  end
  busy.stop = true
  local deadline = t:now() + 20
  while busy.left > 0 do
    t:check(sched.listen(busy, deadline) or busy.left == 0, "they hang")
  end
  if busy.err then error(busy.err, 0) end
  t:check(busy.tried > 20, "only %d tries", busy.tried)
end)

story("a reload that fails closes no door that was open", "MQTT-7.0.0-2/3.1.1", function(t)
  local one = "listener mqtt { bind 127.0.0.1:${port}; }\n"
  local two = one .. "listener second { bind 127.0.0.1:${second_port}; }\n"
  local b = t:own_broker(conf("load probe;\n" .. two))
  local c = b:join { port = b.ports.second_port }
  local function after(text, pattern)
    local seen = count(b, pattern)
    b:reload(conf("load probe;\n" .. text))
    local deadline = t:now() + 20
    while count(b, pattern) == seen do
      t:check(sched.listen(b.key, deadline), "not in the log: %s", pattern)
    end
  end
  after(one, "configuration reloaded")
  t:check(may_publish(c, "a"), "its listener is gone, and it may not publish")
  after(two .. "listener impossible { bind 192.0.2.1:1; anonymous allow; }", "reload refused")
  t:check(may_publish(c, "a"), "its listener was nearly there again, and it may not publish")
  after(two, "configuration reloaded")
  t:check(may_publish(c, "a"), "its listener is there again, and it may not publish")
end)
