-- Scripts in the real broker: what they change, what they may not, and that nobody else pays for them.
local backend = require "backend"
local broker = require "broker"
local program = require "program"
local sched = require "sched"

-- A broker that loads these scripts, a table of name -> text; `more` goes into the load block.
local function scripted(t, scripts, more, rest, options)
  local names = {}
  for name in pairs(scripts) do names[#names + 1] = name end
  table.sort(names)
  local files = {}
  for i, name in ipairs(names) do files[i] = name .. ".lua" end
  options = options or {}
  options.prepare = function(b)
    for name, text in pairs(scripts) do broker.write_file(b.dir .. "/" .. name .. ".lua", text) end
  end
  return t:own_broker(("load lua { script %s; %s }\n%s"):format(table.concat(files, " "), more or "",
    rest or ""), options)
end

local function on(filter, body)
  return ([[
local broker = require "broker"
broker.on_publish(%q, function(msg, at)
%s
end)
]]):format(filter, body)
end

local function ask_lua(b, ...)
  local words = {}
  for _, w in ipairs { ... } do words[#words + 1] = ('"%s"'):format(w) end
  return b:ask(('{"cmd":"module","do":"call","name":"lua","words":[%s]}'):format(table.concat(words, ",")))
end

local function count_of(b, script, what)
  return tonumber(ask_lua(b, "show", script):match(('"%s":(%%d+)'):format(what)))
end

story.both("a script routes, changes and copies", "MQTT-3.3.1-5", function(t)
  local b = scripted(t, { rules = on("in/{room}/+", [[
    msg.payload = at.room .. "=" .. msg.payload
    msg.retain = true
    msg:route("out/" .. at.room, "copy/" .. at.room)
  ]]) })
  local c = b:join()
  c:subscribe("#", 1)
  c:publish { topic = "in/hall/temp", payload = "20", qos = 1 }
  c:receive { topic = "out/hall", payload = "hall=20", qos = 1 }
  c:receive { topic = "copy/hall", payload = "hall=20", qos = 1 }
  c:publish { topic = "other", payload = "x", qos = 1 }
  c:receive { topic = "other", payload = "x" }
  local late = b:join()
  late:subscribe("out/#", 0)
  late:receive { topic = "out/hall", payload = "hall=20", retain = true }
end)

story("MQTT 5 properties can be read and set", "MQTT-3.3.2-17/5", function(t)
  local b = scripted(t, { rules = on("in", [[
    local first = msg.user_properties[1]
    msg.payload = first[1] .. ":" .. first[2] .. ":" .. msg.content_type
    msg.content_type = "text/changed"
    msg.response_topic = nil
    msg.user_properties = { { "a", "1" }, { "a", "2" } }
    msg.expiry = 100
  ]]) })
  local c = b:join()
  c:subscribe("in", 0)
  c:publish { topic = "in", payload = "x", properties = { content_type = "text/plain",
    response_topic = "r", user = { { "k", "v" } } } }
  local m = c:receive { topic = "in", payload = "k:v:text/plain" }
  t:equal(m.properties.content_type, "text/changed")
  t:equal(m.properties.response_topic, nil)
  t:equal(m.properties.message_expiry, 100)
  t:equal(#m.properties.user, 2)
end)

story("drop and deny are told where MQTT can say it, and counted", "MQTT-3.4.2-1/5", function(t)
  local b = scripted(t, { rules = on("in/{what}", [[
    if at.what == "drop" then return msg:drop("because") end
    if at.what == "deny" then return msg:deny("no", 0x99) end
  ]]) })
  local c, old = b:join { version = 5 }, b:join { version = 4 }
  c:subscribe("in/#", 1)
  c:send { "PUBLISH", topic = "in/drop", payload = "x", qos = 1, id = 7 }
  c:expect { "PUBACK", id = 7, reason = 0 }
  c:send { "PUBLISH", topic = "in/deny", payload = "x", qos = 1, id = 8 }
  c:expect { "PUBACK", id = 8, reason = 0x99 }
  old:publish { topic = "in/deny", payload = "x", qos = 1 }
  c:publish { topic = "in/pass", payload = "y", qos = 1 }
  c:receive { topic = "in/pass", payload = "y" }
  c:expect_nothing()
end)

story("handlers of several scripts run in order, each sees what the one before it did",
  "MQTT-3.3.1-5", function(t)
  local b = scripted(t, {
    a = on("x", 'msg.payload = msg.payload .. "a"'),
    b = on("x", 'msg.payload = msg.payload .. "b"; msg.topic = "y"'),
    c = on("#", 'msg.payload = msg.payload .. "c" .. msg.topic'),
  })
  local c = b:join()
  c:subscribe("#", 0)
  c:publish { topic = "x", payload = "-" }
  c:receive { topic = "y", payload = "-abcy" }
end)

story("scripts decide about CONNECT and SUBSCRIBE, and about who receives", "MQTT-3.1.4-2",
  function(t)
  local b = scripted(t, { rules = [[
local broker = require "broker"
broker.on_connect(function(connect)
  if connect.username == "bad" then return connect:deny("not you") end
  connect:set_attribute("team", connect.username or "none")
  connect:allow()
end)
broker.on_subscribe(function(subscribe)
  if subscribe.filter:find("^secret") then return subscribe:deny("secret") end
  subscribe.qos = 0
end)
broker.on_deliver("team/{name}", function(msg, at)
  if msg.client.attributes.team ~= at.name then msg:deny() end
end)
]] })
  b:client { username = "bad" }:expect_refused(0x86, 4)
  local red, blue = b:join { username = "red" }, b:join { username = "blue" }
  red:send { "SUBSCRIBE", id = 1, filters = { { "secret/x", 1 }, { "team/#", 1 } } }
  red:expect { "SUBACK", id = 1, codes = { 0x87, 0 } }
  blue:send { "SUBSCRIBE", id = 1, filters = { { "team/#", 1 } } }
  blue:expect { "SUBACK", id = 1, codes = { 0 } }
  red:publish { topic = "team/blue", payload = "b" }
  red:publish { topic = "team/red", payload = "r" }
  blue:receive { topic = "team/blue", payload = "b" }
  red:receive { topic = "team/red", payload = "r" }
  red:expect_nothing()
  blue:expect_nothing()
end)

story("scripts take part in enhanced authentication", "MQTT-4.12.0-2/5", function(t)
  local b = scripted(t, { rules = [[
local broker = require "broker"
broker.on_auth("TWICE", function(auth)
  if auth.round == 0 then
    auth.state = auth.data
    return auth:continue("again")
  end
  if auth.data ~= auth.state then return auth:deny("not the same") end
  auth:set_username(auth.state)
  auth:allow("thanks")
end)
]] })
  local function start(first)
    local c = b:client { properties = { auth_method = "TWICE", auth_data = first } }
    c:expect { "AUTH", reason = 0x18, properties = { auth_data = "again" } }
    return c
  end
  local c = start "bee"
  c:send { "AUTH", reason = 0x18, properties = { auth_method = "TWICE", auth_data = "bee" } }
  local ack = c:expect { "CONNACK", reason = 0 }
  t:equal(ack.properties.auth_data, "thanks")
  local other = start "bee"
  other:send { "AUTH", reason = 0x18, properties = { auth_method = "TWICE", auth_data = "wasp" } }
  other:expect { "CONNACK", reason = 0x87 }
  b:client { properties = { auth_method = "ONCE" } }:expect { "CONNACK", reason = 0x8C }
end)

story("an operator evaluates code", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = scripted(t, { rules = "" })
  t:check(ask_lua(b, "eval", "6 * 7"):find('"answer":42', 1, true), "it said: %s", ask_lua(b, "eval", "6 * 7"))
  t:check(ask_lua(b, "eval", "nope.x"):find("nil value", 1, true), "no error")
  t:check(ask_lua(b, "eval", "require('broker').sleep(0.01)"):find('"ok":true', 1, true), "waiting")
end)

story("a handler that waits parks its client alone, in order", "MQTT-4.6.0-5", function(t)
  local h = backend.start(t)
  h:answers { ["/slow"] = { delay = 0.3, body = { name = "x" } } }
  local b = scripted(t, { rules = on("slow", ([[
    local reply, why = broker.http.request { url = "%s/slow", timeout = 10 }
    msg.payload = msg.payload .. (reply and reply.status or why)
  ]]):format(h.url)) .. on("nap", 'broker.sleep(0.2); msg.payload = msg.payload .. "!"'):gsub("^[^\n]*\n", "") })
  local slow, quick = b:join(), b:join()
  slow:subscribe("#", 0)
  quick:subscribe("q", 0)
  for i = 1, 3 do
    slow:send { "PUBLISH", topic = "slow", payload = i .. ":", qos = 0 }
    slow:send { "PUBLISH", topic = "plain", payload = tostring(i), qos = 0 }
  end
  slow:send { "PUBLISH", topic = "nap", payload = "z", qos = 0 }
  h:wait_requests(1)
  quick:publish { topic = "q", payload = "now" }
  quick:receive { topic = "q", payload = "now" }
  local seen = {}
  while #seen < 8 do
    local m = slow:receive {}
    if m.topic ~= "q" then seen[#seen + 1] = m.payload end
    if #seen == 7 then break end
  end
  t:equal(table.concat(seen, " "), "1:200 1 2:200 2 3:200 3 z!")
end)

story("a client that leaves takes its waiting handler with it", "MQTT-3.14.4-1", function(t)
  local b = scripted(t, { rules = on("nap", "broker.sleep(3000)") })
  for i = 1, 20 do
    local c = b:join()
    c:send { "PUBLISH", topic = "nap", payload = "", qos = 0 }
    if i % 2 == 0 then c:abort() else c:send { "DISCONNECT" } end
  end
  b:join():publish { topic = "other", payload = "x", qos = 1 }
end)

story("request and response", "MQTT-3.3.2-15/5", function(t)
  local b = scripted(t, { rules = on("ask", [[
    local reply, why = broker.request { topic = "service", payload = msg.payload, timeout = 5 }
    msg.payload = reply and reply.payload or why
  ]]) .. on("lost", [[
    local reply, why = broker.request { topic = "nobody", payload = "", timeout = 0.05 }
    msg.payload = why
  ]]):gsub("^[^\n]*\n", "") })
  local c, service = b:join(), b:join()
  service:subscribe("service", 0)
  c:subscribe({ { "ask" }, { "lost" } })
  c:send { "PUBLISH", topic = "ask", payload = "2+2", qos = 0 }
  local q = service:receive { topic = "service", payload = "2+2" }
  service:publish { topic = q.properties.response_topic, payload = "4",
    properties = { correlation_data = q.properties.correlation_data } }
  c:receive { topic = "ask", payload = "4" }
  c:publish { topic = "lost", payload = "x" }
  c:receive { topic = "lost", payload = "no reply in time" }
end)

story("timers, subscriptions and values that all loops share", "MQTT-3.3.1-5", function(t)
  local b = scripted(t, { rules = [[
local broker = require "broker"
broker.on_publish("count", function(msg) msg.payload = tostring(broker.kv.add("n")) end)
broker.subscribe("echo/in", function(message)
  broker.publish { topic = "echo/out", payload = message.payload:upper(), qos = 1 }
end, { qos = 1 })
local ticks = 0
local timer
timer = broker.every(0.02, function()
  ticks = ticks + 1
  broker.publish { topic = "tick", payload = tostring(ticks) }
  if ticks == 3 then timer:cancel() end
end)
]] }, nil, "threads 2;")
  local clients, sum = {}, 0
  for i = 1, 8 do clients[i] = b:join() end
  clients[1]:subscribe { { "echo/out", 1 }, { "count", 1 } }
  for _ = 1, 5 do
    for _, c in ipairs(clients) do c:publish { topic = "count", payload = "", qos = 1 } end
  end
  for _ = 1, 40 do sum = sum + tonumber(clients[1]:receive { topic = "count" }.payload) end
  t:equal(sum, 40 * 41 / 2)
  clients[2]:publish { topic = "echo/in", payload = "bee", qos = 1 }
  clients[1]:receive { topic = "echo/out", payload = "BEE" }
end)

story("scripts that answer each other do not do so for ever", "MQTT-3.3.1-5", function(t)
  local b = scripted(t, { rules = [[
local broker = require "broker"
broker.subscribe("ping", function(m) broker.publish { topic = "pong", payload = m.payload .. "." } end)
broker.subscribe("pong", function(m) broker.publish { topic = "ping", payload = m.payload .. "." } end)
]] })
  local c = b:join()
  c:subscribe("ping", 0)
  c:publish { topic = "ping", payload = "" }
  b:wait_output "went through scripts %d+ times and goes no further"
  local last
  for _ = 1, 5 do last = c:receive { topic = "ping" } end
  t:check(#last.payload < 20, "it went on: %s", last.payload)
end)

-- Each is a handler that breaks a budget; what the log says; whether it is an error of Lua.
local hostile = {
  { "an endless loop", "while true do end", "too much work" },
  { "an endless loop that catches errors", "while true do pcall(function() while true do end end) end",
    "too much work" },
  { "a memory bomb", "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(10000) .. i end", "not enough memory" },
  { "a string bomb", "return ('x'):rep(1e9)", "not enough memory" },
  { "a concat bomb", "local s = 'x' for i = 1, 60 do s = s .. s end", "not enough memory" },
  { "a deep recursion", "local function f(n) return 1 + f(n + 1) end return f(0)", "not enough memory" },
  { "a hard pattern", "return ('a'):rep(30000):find('.-.-.-.-.-b')", "too costly" },
  { "an error object", "error({})", "error with a table value" },
  { "a plain error", "local x = nil; return x.y", "attempt to index" },
  { "late use", "late = late or msg; local p = late.payload; if late ~= msg then return late.payload end; error('first')",
    "first" },
}

for _, case in ipairs(hostile) do
  story(case[1] .. " costs that one call", "MQTT-4.6.0-5", function(t)
    local b = scripted(t, { bad = on("bad", case[2]), good = on("good", 'msg.payload = "good"') },
      "memory 4m; instructions 300000; time 2s;")
    local c, healthy = b:join(), b:join()
    healthy:subscribe({ { "good", 1 }, { "bad", 1 } })
    for i = 1, 3 do
      c:publish { topic = "bad", payload = "as it was " .. i, qos = 1 }
      healthy:receive { topic = "bad", payload = "as it was " .. i } -- on_failure pass
      healthy:publish { topic = "good", payload = "x", qos = 1 }
      healthy:receive { topic = "good", payload = "good" }
    end
    b:wait_output(case[3])
    t:equal(count_of(b, "bad", "errors"), 3, "errors counted")
    t:equal(count_of(b, "good", "errors"), 0, "errors of the other script")
    local memory = tonumber(ask_lua(b, "show", "bad"):match '"memory":(%d+)')
    t:check(memory <= 2 * 4 * 1024 * 1024, "the script still holds %d bytes", memory)
  end)
end

story("what a handler reaches is what is allowed", "MQTT-4.6.0-5", function(t)
  local names = { "io", "os", "debug", "load", "loadstring", "dofile", "loadfile", "coroutine", "package",
    "collectgarbage" }
  local checks = {}
  for i, n in ipairs(names) do checks[i] = ("assert(%s == nil, '%s')"):format(n, n) end
  local b = scripted(t, { a = [[
local broker = require "broker"
]] .. table.concat(checks, "\n") .. [[

assert(string.dump == nil)
assert(not pcall(setmetatable, {}, { __gc = function() end }))
assert(getmetatable("") == nil)
assert(not pcall(require, "io"))
string.format = nil
broker.on_publish("a", function(msg) msg.payload = type(string.format) end)
]], b = on("b", "msg.payload = type(string.format) .. ('%d'):format(7)") })
  local c = b:join()
  c:subscribe("#", 0)
  c:publish { topic = "a", payload = "" }
  c:receive { topic = "a", payload = "nil" }
  c:publish { topic = "b", payload = "" }
  c:receive { topic = "b", payload = "function7" }
end)

story("on_failure drop and deny", "MQTT-3.4.2-1/5", function(t)
  for mode, reason in pairs { drop = 0, deny = 0x83 } do
    local b = scripted(t, { bad = on("bad", 'msg.payload = "half"; error("no")') },
      "on_failure " .. mode .. ";")
    local c = b:join()
    c:subscribe("bad", 0)
    c:send { "PUBLISH", topic = "bad", payload = "x", qos = 1, id = 5 }
    c:expect { "PUBACK", id = 5, reason = reason }
    c:expect_nothing()
  end
end)

story("a script that fails too often is disabled, with an alarm, until it is enabled", "MQTT-4.6.0-5",
  function(t)
  local b = scripted(t, { bad = on("bad", 'error("no")') }, "disable_after 5;")
  local c = b:join()
  for _ = 1, 8 do c:publish { topic = "bad", payload = "x", qos = 1 } end
  t:equal(count_of(b, "bad", "errors"), 5)
  t:check(ask_lua(b, "list"):find('"state":"disabled"', 1, true), "it is not disabled")
  t:check(b:ask("status"):find("script-bad", 1, true), "no alarm: %s", b:ask "status")
  ask_lua(b, "enable", "bad")
  c:publish { topic = "bad", payload = "x", qos = 1 }
  t:equal(count_of(b, "bad", "errors"), 6)
  t:check(not b:ask("status"):find("script-bad", 1, true), "the alarm is still there")
end)

local function reload(b) return b:ask "reload" end

story("a script that does not load keeps the old one, and says where it is wrong", "MQTT-7.0.0-2/3.1.1",
  function(t)
  local b = scripted(t, { rules = on("x", 'msg.payload = "old"') })
  local c = b:join()
  c:subscribe("x", 0)
  for text, complaint in pairs {
    ["local x = = 1"] = "rules.lua:1:",
    [on("x", 'msg.payload = "new"') .. '\nrequire("broker").on_pubish()'] = "on_pubish",
    [on("x", 'msg.payload = "new"') .. '\nrequire("broker").selftest(function() error("not ready") end)'] = "not ready",
    [on("a/{x", "")] = "a named level is",
    ["while true do end"] = "too much",
  } do
    broker.write_file(b.dir .. "/rules.lua", text)
    local answer = reload(b)
    t:check(answer:find('"ok":false', 1, true), "%s was taken: %s", text, answer)
    t:check(answer:find(complaint, 1, true), "no %q in %s", complaint, answer)
    c:publish { topic = "x", payload = "" }
    c:receive { topic = "x", payload = "old" }
  end
  broker.write_file(b.dir .. "/rules.lua", on("x", 'msg.payload = "new"'))
  t:check(reload(b):find('"ok":true', 1, true), "the good one is refused")
  c:publish { topic = "x", payload = "" }
  c:receive { topic = "x", payload = "new" }
end)

story("a broken script does not start the broker", "MQTT-7.0.0-2/3.1.1", function(t)
  if broker.mosquitto then t:skip("needs Skep") end
  local dir = host.temp_dir()
  broker.write_file(dir .. "/rules.lua", "local x = = 1")
  broker.write_file(dir .. "/skep.conf", ("data_dir %s/data;\nload lua { script rules.lua; }\n"
    .. "listener mqtt { bind 127.0.0.1:%d; }\n"):format(dir, host.free_port()))
  local code, out, err = program.run(t, broker.command, "-c", dir .. "/skep.conf")
  host.remove_tree(dir)
  t:equal(code, 1, "the exit status")
  t:check((out .. err):find("rules.lua:1:", 1, true), "it said: %s", out .. err)
end)

story("a reload under full traffic loses and reorders nothing", "MQTT-4.6.0-5", function(t)
  local function version(n) return on("flow/#", ('msg.payload = "%d:" .. msg.payload'):format(n)) end
  local b = scripted(t, { rules = version(1) }, nil, "threads 2;")
  local MESSAGES, PAIRS = 400, 6
  local state = { left = PAIRS, sent = 0 }
  for i = 1, PAIRS do
    local c, topic = b:join(), "flow/" .. i
    c:subscribe(topic, 1)
    sched.start(function()
      local ok, why = pcall(function()
        local newest = 0
        for n = 1, MESSAGES do
          c:publish { topic = topic, payload = tostring(n), qos = 1 }
          local m = c:receive { topic = topic }
          local v, number = m.payload:match "^(%d+):(%d+)$"
          t:equal(tonumber(number), n, "the message")
          t:check(tonumber(v) >= newest, "version %s after %d", v, newest)
          newest = tonumber(v)
          state.sent = state.sent + 1
        end
      end)
      if not ok then state.err = state.err or why end
      state.left = state.left - 1
      sched.signal(state)
    end)
  end
  local rounds = 1
  while state.left > 0 and not state.err do
    rounds = rounds + 1
    broker.write_file(b.dir .. "/rules.lua.new", version(rounds))
    os.rename(b.dir .. "/rules.lua.new", b.dir .. "/rules.lua")
    t:check(reload(b):find('"ok":true', 1, true), "reload %d", rounds)
  end
  if state.err then error(state.err, 0) end
  t:check(rounds > 3, "only %d reloads while %d messages went", rounds, state.sent)
  t:equal(state.sent, MESSAGES * PAIRS)
end)

story("watch takes a changed script up by itself; what scripts stored is still there",
  "MQTT-7.0.0-2/3.1.1", function(t)
  local b = scripted(t, { rules = on("x", 'msg.payload = "old" .. broker.kv.add("n")') }, "watch on;")
  local c = b:join()
  c:subscribe("x", 0)
  c:publish { topic = "x", payload = "" }
  c:receive { topic = "x", payload = "old1" }
  broker.write_file(b.dir .. "/rules.lua", "this is not Lua")
  b:wait_output "reload refused"
  broker.write_file(b.dir .. "/rules.lua", on("x", 'msg.payload = "new" .. broker.kv.add("n")'))
  b:wait_output "configuration reloaded"
  c:publish { topic = "x", payload = "" }
  c:receive { topic = "x", payload = "new2" }
end)
