-- Modules: their load lines and options, refusals, commands, alarms, crashes.
-- Those loaded here are made from tests/modules.
local broker = require "broker"
local program = require "program"
local modules = require "modules"

local conf, try, count, call, reload, rewrite, folder
  = modules.conf, modules.try, modules.count, modules.call, modules.reload, modules.rewrite, modules.folder

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

for word, name in pairs { crash = "SIGSEGV", abort = "SIGABRT", deep = "SIGSEGV", job = "SIGSEGV" } do
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
    local who = "in module probe, hook " .. (word == "job" and "job" or "on_command")
    t:check(text:find(who, 1, true), "it said: %s", text)
    t:check(text:find("tests/modules/probe.so + 0x", 1, true), "it said: %s", text)
    local log = io.open(b.dir .. "/skep.log"):read("a")
    t:check(log:find(who, 1, true), "the log says: %s", log)
  end)
end

story("a crash while options are checked has a name, too", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = t:own_broker(conf "load options { text a; }")
  b.expected_end = true
  b:reload(conf "load options { text crash; }")
  b:wait_end()
  t:check(b.output:find("skep: crashed: SIGILL.*in module options, hook check"), b.output)
end)

story("a crash in a decision names its hook, and the figures say what was decided", "MQTT-3.1.4-2",
  function(t)
  local b = t:own_broker(conf "load gate { password sesame; }")
  b.expected_end = true
  b:join { username = "u", password = "sesame" }
  b:client { username = "u", password = "wrong" }:expect_refused { 0x86, 4 }
  local info = b:ask '{"cmd":"module","do":"info","name":"gate"}'
  t:check(info:find('"hook":"connect","calls":2,"allowed":1,"denied":1,"errors":0', 1, true), info)
  b:client { username = "u", password = "crash" }
  b:wait_end()
  t:check(b.output:find("skep: crashed: SIGILL.*in module gate, hook on_connect"), b.output)
end)
