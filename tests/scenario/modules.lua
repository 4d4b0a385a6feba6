-- Modules from their load line to unload: options, refusals, reloads, commands, crashes.
-- Those loaded here are made from tests/modules.
local broker = require "broker"
local program = require "program"
local sched = require "sched"

local folder = (broker.command or ""):gsub("bin/[^/]*$", "tests/modules")
if not folder:find("^/") then folder = host.cwd and host.cwd() .. "/" .. folder or folder end

local function conf(text) return ("module_path %s;\n%s"):format(folder, text) end

local function copy(from, to)
  local f = assert(io.open(from, "rb"))
  local bytes = f:read("a")
  f:close()
  broker.write_file(to .. ".new", bytes)
  assert(os.rename(to .. ".new", to))
end

-- Runs `skep -t` with this configuration; exit status and output.
local function try(t, text)
  if broker.mosquitto then t:skip("needs Skep") end
  local dir = host.temp_dir()
  broker.write_file(dir .. "/skep.conf", text)
  local code, out, err = program.run(t, broker.command, "-t", "-c", dir .. "/skep.conf")
  host.remove_tree(dir)
  return code, out .. err
end

-- How often the broker has printed this.
local function count(b, pattern)
  local n = 0
  for _ in b.output:gmatch(pattern) do n = n + 1 end
  return n
end

local function call(b, name, ...)
  local words = {}
  for _, w in ipairs { ... } do words[#words + 1] = ('"%s"'):format(w) end
  return b:ask(('{"cmd":"module","do":"call","name":"%s","words":[%s]}'):format(name,
    table.concat(words, ",")))
end

-- The answer, once all that the reload prints has been read.
local function reload(b)
  local done = count(b, "main: configuration reloaded") + count(b, "main: reload refused")
  local answer = b:ask "reload"
  local deadline = host.now() + 20
  while count(b, "main: configuration reloaded") + count(b, "main: reload refused") == done do
    if not sched.listen(b.key, deadline) then error("the reload is not in the log", 0) end
  end
  return answer
end

local function rewrite(b, text)
  local whole = ("data_dir %s/data;\nthreads 2;\n%s\nlistener mqtt { bind 127.0.0.1:%d; }\n")
    :format(b.dir, text, b.ports.port)
  broker.write_file(b.conf, (whole:gsub("%${dir}", b.dir)))
end

story("a module's life, in the order of the load lines", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker(conf "load probe:one { tag first; }\nload probe:two { tag second; }")
  b:wait_output("one: load v1 tag=first.*two: load v1 tag=second"
    .. ".*one: start v1 previous=none loop=65535.*two: start v1 previous=none.*main: ready")
  b:stop()
  b:wait_output "two: stop v1 tag=second"
  for _, text in ipairs { "one: stop v1", "one: unload v1", "two: unload v1" } do
    t:equal(count(b, text), 1, text)
  end
end)

story("options of every type reach a module", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker(conf [[
load options {
  text "two words"; small 9; big 1000000; bytes 2m; wait 1m; rate 10/s; color red; days tu we;
  file some/file; at "[::1]:80"; key "abc"; words a b; flag off;
  header x y; header "a b" c;
  inner { wait 3s; }
  part p1 { to here; }
  part p2 {
    to there;
  }
}]])
  b:wait_output(("flag=0 small=9 big=1000000 bytes=2097152 wait=60000 rate=10 color=0 days=6 "
    .. "text=two words file=%s/some/file at=%%[::1%%]:80 key=3/%%- words=2"):format((b.dir:gsub("%p", "%%%0"))))
  b:wait_output "header x=y.*header a b=c.*inner given wait=3000.*part p1 line=%d+ to=here"
  b:wait_output "part p2 line=%d+ to=there"
  local text = b:ask "config"
  t:check(text:find('header \\"a b\\" c;', 1, true), "the second header is not in: %s", text)
  t:check(not text:find("abc", 1, true), "a secret is in: %s", text)
end)

story("defaults of every type reach a module", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker(conf "load options { text a; }")
  b:wait_output("flag=1 small=7 big=8 bytes=65536 wait=2000 rate=5 color=1 days=1 text=a "
    .. "file=%- at=%- key=0/%- words=0")
  b:wait_output "inner absent wait=1000"
end)

story("what is wrong with a module's options has its place", "MQTT-7.0.0-2/3.1.1", function(t)
  local cases = {
    { "load options { }", "skep.conf:2:1: text is missing" },
    { "load options {\n txt a; }", "skep.conf:3:2: unknown directive txt, did you mean text?" },
    { "load options {\n text a; small 10; }", "skep.conf:3:16: small: 10 is out of range" },
    { "load options { text a; color blue; }", "skep.conf:2:30: color:" },
    { "load options { text a; words one; }", "skep.conf:2:24: words needs" },
    { "load options { text a; header one; }", "skep.conf:2:24: header needs" },
    { "load options { text a; part p { } }", "skep.conf:2:24: to is missing" },
    { "load options { text a; part p { to x; } part p { to y; } }", "a second part" },
    { "load options { text wrong; }", "skep.conf:2:1: text is wrong, say something else" },
    { "load options { text a; words x y\n z; }", "skep.conf:3:2: the third word is z" },
    { "load options { text a; key env:NOT_THERE_AT_ALL; }", "skep.conf:2:28: key:" },
    { "load options { text a; on_error maybe; }", "skep.conf:2:33: on_error:" },
    { "load options { text a; decision_timeout 0; }", "out of range" },
    { "load probe; load probe;", "2:18: a second load with the name probe, the first is at" },
    { "load probe; load " .. folder .. "/probe.so;", "a second module with the name probe" },
    { "load probe:a; load probe:a;", "a second load with the name" },
    { "load probe:A;", "the name behind ':' is made of" },
    { "load;", "load takes one name" },
    { "load probe\nlisten;", "load takes one name" },
    { "load probe;\nlistener mqtt { bind 127.0.0.1:1; modules prob; }",
      "skep.conf:3:43: listener mqtt: no module is loaded as prob, did you mean probe?" },
  }
  for _, case in ipairs(cases) do
    local code, text = try(t, conf(case[1]) .. "\n")
    t:equal(code, 1, case[1])
    t:check(text:find(case[2], 1, true), "%s gives: %s", case[1], text)
  end
  local code, text = try(t, conf "load options { text odd; }")
  t:equal(code, 0, "a warning only: " .. text)
  t:check(text:find("skep.conf:2:1: warning: this is odd"), "no warning in: %s", text)
end)

story("a module that does not fit is refused in a line", "MQTT-7.0.0-2/3.1.1", function(t)
  local cases = {
    { "prob", "there is no module prob, did you mean probe? It was looked for in " .. folder },
    { "misnamed", "holds a module that calls itself another, call the file another.so" },
    { "other_major", "it was made for SDK 9.0; this Skep takes modules of SDK 1.x" },
    { "newer", "it needs skep_from_the_future, which this Skep (SDK 1.0) does not have" },
    { "unlinked", "it needs some_library_function, which no library it is linked to defines" },
    { "reserved", "its option on_error has a name that Skep itself uses" },
    { "bad_default", "its option limit has a default that it would not take" },
    { "no_descriptor", "it exports no skep_module_descriptor" },
    { "./nowhere.so", "No such file" },
    { "/dev/null", "it is no file" },
    { "Probe", "is no name of a module" },
  }
  for _, case in ipairs(cases) do
    local code, text = try(t, conf(("load %s { }\n"):format(case[1])))
    t:equal(code, 1, case[1])
    t:check(text:find("skep.conf:2:6: load: "), "no place for %s in: %s", case[1], text)
    t:check(text:find(case[2], 1, true), "%s gives: %s", case[1], text)
  end
end)

story("a module of an older minor release runs", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker(conf "load older;")
  b:join():publish { topic = t.topic, payload = "x", qos = 1 } -- its on_event would trap
end)

story("a broker whose module does not load does not start", "MQTT-7.0.0-2/3.1.1", function(t)
  if broker.mosquitto then t:skip("needs Skep") end
  local dir = host.temp_dir()
  for _, case in ipairs {
    { "load probe { refuse on; }", "skep.conf:%d+:1: module probe refused to load" },
    { "load probe { refuse on; complain on; tag x; }", "skep.conf:%d+:1: tag x is out of fashion" },
  } do
    broker.write_file(dir .. "/skep.conf", conf(("data_dir %s/data;\n%s\n"
      .. "listener mqtt { bind 127.0.0.1:%d; }\n"):format(dir, case[1], host.free_port())))
    local code, out, err = program.run(t, broker.command, "-c", dir .. "/skep.conf")
    t:equal(code, 1, "the exit status")
    t:check((out .. err):find(case[2]), "it said: %s", out .. err)
    t:check(not (out .. err):find("main: ready"), "it served: %s", out .. err)
    t:check(not (out .. err):find("ERROR:"), "it said: %s", out .. err)
  end
  host.remove_tree(dir)
end)

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
    copy(folder .. "/probe.so", b.dir .. "/p.so")
  end })
  local busy = traffic(t, b, 8)
  local before = b:control("status").connections
  for round = 1, 10 do
    local version = round % 2 == 1 and 2 or 1
    copy(folder .. (version == 2 and "/next" or "") .. "/probe.so", b.dir .. "/p.so")
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
    copy(folder .. "/probe.so", b.dir .. "/p.so")
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
    copy(folder .. "/probe.so", b.dir .. "/p.so")
  end })
  rewrite(b, conf "load ./p.so { tag two; }")
  reload(b)
  b:wait_output "start v1 previous=one"
  copy(folder .. "/next/probe.so", b.dir .. "/p.so")
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
    copy(folder .. "/probe.so", b.dir .. "/p.so")
  end })
  copy(folder .. "/next/probe.so", b.dir .. "/p.so")
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

story("commands: an answer, a late one, none, a wrong one", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker(conf "load probe;\nload options { text a; }")
  for _, case in ipairs {
    { call(b, "probe", "echo", "bee"), '"answer":{"word":"bee","words":2},"ok":true' },
    { call(b, "probe", "later"), '"answer":"at last","ok":true' },
    { call(b, "probe", "nonsense"), '"ok":false,"error":"no such command: nonsense"' },
    { call(b, "probe", "garbage"), "answer is no JSON" },
    { call(b, "nobody"), "no module is loaded as nobody" },
    { call(b, "options", "x"), "this module has no commands" },
    { call(b, "probe", "directory"), b.dir .. "/data/modules/probe" },
  } do
    t:check(case[1]:find(case[2], 1, true), "%s: %s", case[2], case[1])
  end
  -- one that nobody answers holds nobody up, not even the end
  local socket = require("link").open { path = b.dir .. "/data/control.sock" }
  socket:send '{"cmd":"module","do":"call","name":"probe","words":["silence"]}\n'
  t:check(call(b, "probe", "echo", "x"):find('"word":"x"', 1, true), "it does not answer")
  b:stop()
  t:equal(count(b, "probe: unload v1"), 1, "unloads")
  socket:close()
end)

story("skepctl lists, describes, calls and checks modules", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker(conf "load probe:x { tag a; }\nload options { text a; }")
  local function ctl(...)
    local code, out, err = program.skepctl(t, "module", ...)
    return code, out, err
  end
  local socket = b.dir .. "/data/control.sock"
  local code, out = ctl("list", "--socket", socket)
  t:equal(code, 0, "list")
  t:check(out:find("probe:x%s+1%s+running") and out:find("options%s+1%s+running"), out)
  code, out = ctl("list", "--json", "--socket", socket)
  t:check(code == 0 and out:find('^%[{"name":"probe:x"'), out)
  code, out = ctl("info", "probe:x", "--socket", socket)
  t:check(code == 0 and out:find "tells its life" and out:find "tag a;", out)
  code, out = ctl("call", "probe:x", "table", "--socket", socket)
  t:equal(out, "name  size\na        1\nbee     22\n", "the table")
  code, out = ctl("call", "--json", "--socket", socket, "probe:x", "table")
  t:equal(out, '[{"name":"a","size":1},{"name":"bee","size":22}]\n', "the JSON")
  local _, _, err = ctl("call", "probe:x", "what", "--socket", socket)
  t:check(err:find "no such command: what", err)
  code, out = ctl("check", folder .. "/options.so")
  t:check(code == 0 and out:find "would load" and out:find "part.to", out)
  code, out = ctl("check", folder .. "/newer.so")
  t:equal(code, 1, "a module that does not load")
  t:check(out:find "this Skep does not have: skep_from_the_future", out)
  code, out, err = program.skepctl(t, "directives", folder .. "/options.so")
  t:check(code == 0 and out:find "a digit" and out:find "0 to 9", out .. err)
end)

story("alarms are told until they are cleared", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker(conf "load probe;")
  call(b, "probe", "alarm")
  call(b, "probe", "alarm")
  local status = b:ask "status"
  t:check(status:find('"alarms":[{"module":"probe","name":"smoke","text":"there is smoke"', 1, true),
    "not in: %s", status)
  t:equal(count(b, "alarm smoke: there is smoke"), 1, "lines")
  reload(b) -- the next instance of that name takes it over
  t:check(b:ask("status"):find("there is smoke", 1, true), "the alarm is gone")
  call(b, "probe", "clear")
  t:check(b:ask("status"):find('"alarms":[]', 1, true), "the alarm is still there")
  call(b, "probe", "alarm")
  rewrite(b, "")
  reload(b)
  b:wait_output "alarm smoke: cleared.*alarm smoke: cleared"
end)

story("a module's lines are counted, not all written", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker(conf "load probe;")
  call(b, "probe", "shout")
  b:stop()
  b:wait_output "probe: %d+ lines were left out"
  t:check(count(b, "probe: shouting") < 1000, "%d lines", count(b, "probe: shouting"))
  t:check(count(b, "probe: shouting") >= 200, "%d lines", count(b, "probe: shouting"))
end)

for word, name in pairs { crash = "SIGSEGV", abort = "SIGABRT", deep = "SIGSEGV" } do
  story(("a crash names the module and its hook: %s, %s"):format(word, name), "MQTT-7.0.0-2/3.1.1", function(t)
    local b = t:own_broker(conf "load probe;\nlog { to file ${dir}/skep.log; }")
    b.expected_end = true
    local socket = require("link").open { path = b.dir .. "/data/control.sock" }
    socket:send(('{"cmd":"module","do":"call","name":"probe","words":["%s"]}\n'):format(word))
    local how, code = b:wait_end()
    socket:close()
    local sanitizer = broker.sanitizer()
    if sanitizer == "none" then t:equal(how, "signal", "how it ended") end
    t:check(code ~= 0, "it ended well")
    local text = b.output
    t:check(text:find("skep: crashed: " .. name, 1, true), "it said: %s", text)
    t:check(text:find("in module probe, hook on_command", 1, true), "it said: %s", text)
    t:check(text:find("tests/modules/probe.so + 0x", 1, true), "it said: %s", text)
    local log = io.open(b.dir .. "/skep.log"):read("a")
    t:check(log:find("in module probe, hook on_command", 1, true), "the log says: %s", log)
  end)
end

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

-- Who may come in, and what they may do: as far as that is the host's business.

story("a module that decides about CONNECT closes the door to all others", "MQTT-3.1.4-2", function(t)
  local b = t:own_broker(conf "load gate { password sesame; }")
  b:join { username = "u", password = "sesame" }:ping()
  b:client { username = "u", password = "open" }:expect_refused { 0x86, 4 }
  b:client { username = "u" }:expect_refused { 0x87, 5 }
  b:client {}:expect_refused { 0x87, 5 }
  b:reload "" -- without the module loopback is open again
  b:wait_output "configuration reloaded"
  b:join():ping()
end)

story("anonymous allow admits whom no module knows", "MQTT-3.1.4-2", function(t)
  local b = t:own_broker(conf "load gate { password sesame; }\nanonymous allow;")
  b:join():ping()
  b:client { username = "u", password = "open" }:expect_refused { 0x86, 4 }
end)

story("a listener for other machines needs something that knows its clients", "MQTT-7.0.0-2/3.1.1",
  function(t)
  local outside = "listener mqtt { bind 0.0.0.0:1; %s }\n"
  local code, text = try(t, outside:format "")
  t:check(code == 1 and text:find("nothing authenticates its clients", 1, true), text)
  local gate = conf "load gate { password a; }\n"
  code, text = try(t, gate .. outside:format "")
  t:equal(code, 0, "with a module that decides about CONNECT: " .. text)
  code, text = try(t, gate .. outside:format "modules none;")
  t:check(code == 1 and text:find("nothing authenticates its clients", 1, true), text)
  code, text = try(t, conf "load probe;\nload list;\nload gate { password a; }\n"
    .. outside:format "modules probe list;")
  t:check(code == 1 and text:find("nothing authenticates its clients", 1, true), text)
  code, text = try(t, conf "load probe;\nload gate:g { password a; }\n" .. outside:format "modules probe gate:g;")
  t:equal(code, 0, text)
end)

story("a module that is not there is one error, not several", "MQTT-7.0.0-2/3.1.1", function(t)
  local code, text = try(t, conf "load nowhere;\nlistener mqtt { bind 0.0.0.0:1; modules nowhere; }\n")
  t:equal(code, 1, "the exit status")
  t:check(text:find("1 error in the configuration", 1, true), text)
end)

story("each listener has its own chain", "MQTT-3.1.4-2", function(t)
  local b = t:own_broker(conf [[
load gate { password one; }
load gate:two { password two; }
listener mqtt { bind 127.0.0.1:${port}; }
listener second { bind 127.0.0.1:${second_port}; modules gate:two; }
listener open { bind 127.0.0.1:${open_port}; modules none; }]])
  local function at(name, password)
    return b:client { port = b.ports[name], username = "u", password = password }
  end
  at("port", "one"):expect { "CONNACK", reason = 0 }
  at("port", "two"):expect_refused { 0x86, 4 } -- the first of the two has the word
  at("second_port", "two"):expect { "CONNACK", reason = 0 }
  at("second_port", "one"):expect_refused { 0x86, 4 }
  at("open_port", "any"):expect { "CONNACK", reason = 0 }
end)

local function may_publish(c, topic)
  c:send { "PUBLISH", topic = topic, payload = "x", qos = 1, id = c:take_id() }
  local got = c:expect { "PUBACK" }
  return got.reason == nil or got.reason == 0 or got.reason == 0x10
end

local function may_subscribe(c, filter)
  c:send { "SUBSCRIBE", id = c:take_id(), filters = { { filter, 1 } } }
  return c:expect { "SUBACK" }.codes[1] < 0x80
end

story("acl_default: what nobody has an opinion about", "MQTT-3.3.5-2", function(t)
  for _, case in ipairs {
    { "load list { topics a; }", false }, -- auto: a list is there
    { "load list { topics a; }\nacl_default allow;", true },
    { "load list { topics a; }\nacl_default deny;", false },
    { "acl_default deny;", false },
    { "load probe;", true }, -- auto: nobody decides
    { "", true },
  } do
    local b = t:own_broker(conf(case[1]))
    local c = b:join()
    t:equal(may_publish(c, "b"), case[2], case[1] .. ": publish to b")
    t:equal(may_subscribe(c, "b"), case[2], case[1] .. ": subscribe to b")
    if case[1]:find "list" then
      t:check(may_publish(c, "a"), case[1] .. ": publish to a")
      t:check(may_subscribe(c, "a"), case[1] .. ": subscribe to a")
    end
  end
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

story("a crash while options are checked has a name, too", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker(conf "load options { text a; }")
  b.expected_end = true
  b:reload(conf "load options { text crash; }")
  b:wait_end()
  t:check(b.output:find("skep: crashed: SIGILL.*in module options, hook check"), b.output)
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
