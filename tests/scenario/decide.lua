-- What modules decide, as clients and operators meet it.  tests/sim has every path; here it is the
-- real binary with a real module (tests/modules/judge.c).
local broker = require "broker"
local json = require "json"
local program = require "program"

local folder = (broker.command or ""):gsub("bin/[^/]*$", "tests/modules")
if not folder:find("^/") then folder = host.cwd and host.cwd() .. "/" .. folder or folder end
local skepctl = (broker.command or ""):gsub("[^/]*$", "skepctl")

local function conf(rules, more)
  local text = { ("module_path %s;\nload judge {\n"):format(folder) }
  for line in rules:gmatch "[^\n]+" do
    text[#text + 1] = "  rule " .. line:gsub("%S+", '"%0"') .. ";\n"
  end
  return table.concat(text) .. (more or "") .. "}\nacl_default allow;\nanonymous allow;"
end

local function ask(b, text) return json.decode(b:ask(text)) end

local function ctl(t, b, ...)
  local words = { ... }
  words[#words + 1] = "--socket"
  words[#words + 1] = b.dir .. "/data/control.sock"
  return program.run(t, skepctl, table.unpack(words))
end

story.both("what is denied is said where MQTT has a code for it, and never done",
  "MQTT-3.3.5-2/3.1.1", function(t)
  local b = t:broker(conf "publish +/no deny")
  local c, other = b:join(), b:join()
  other:subscribe { { t.topic .. "/#", 2 } }
  for qos = 1, 2 do
    local id = c:take_id()
    c:send { "PUBLISH", topic = t.topic .. "/no", payload = "x", qos = qos, id = id }
    if c.version == 5 then
      c:expect { qos == 1 and "PUBACK" or "PUBREC", id = id, reason = 0x87 }
    elseif qos == 1 then
      c:expect { "PUBACK", id = id }
    else
      c:expect { "PUBREC", id = id }
      c:send { "PUBREL", id = id }
      c:expect { "PUBCOMP", id = id }
    end
  end
  c:publish { topic = t.topic .. "/yes", payload = "y", qos = 1 }
  other:receive { payload = "y" }
  other:expect_nothing()
end)

story.both("each filter has an answer of its own, also those that come late",
  "MQTT-3.8.4-5 MQTT-3.9.3-1", function(t)
  local b = t:broker(conf("subscribe a deny\nsubscribe b wait\nsubscribe c qos0\nsubscribe d wait"))
  local c = b:join()
  c:send { "SUBSCRIBE", id = 9, filters = { { "a", 1 }, { "b", 2 }, { "c", 2 }, { "d", 1 }, { "e", 1 } } }
  c:send { "PINGREQ" } -- what comes behind it waits
  c:expect { "SUBACK", id = 9, codes = { c.version == 5 and 0x87 or 0x80, 2, 0, 1, 1 } }
  c:expect { "PINGRESP" }
end)

story.both("a late answer about one client delays nobody else", "MQTT-4.6.0-5", function(t)
  local b = t:broker(conf "publish +/slow wait")
  local slow, quick, reader = b:join(), b:join(), b:join()
  reader:subscribe { { t.topic .. "/#", 1 } }
  local id = slow:take_id()
  slow:send { "PUBLISH", topic = t.topic .. "/slow", payload = "1", qos = 1, id = id }
  slow:send { "PUBLISH", topic = t.topic .. "/next", payload = "2", qos = 0 }
  quick:publish { topic = t.topic .. "/quick", payload = "0", qos = 1 }
  reader:receive { payload = "0" }
  reader:receive { payload = "1" }
  reader:receive { payload = "2" }
  slow:expect { "PUBACK", id = id }
end)

-- Whoever has the right password gets in, in whatever order the answers come.
story("two CONNECTs with one client id: each has the answer to its own", "MQTT-3.1.4-2", function(t)
  local b = t:broker(conf("connect late-yes wait\nconnect never-yes deny\nconnect now-yes allow"))
  for _, pair in ipairs { { "late-yes", "never-yes" }, { "never-yes", "late-yes" } } do
    local id = t.topic .. pair[1]
    local first = b:client { id = id, username = pair[1], password = "a" }
    local second = b:client { id = id, username = pair[2], password = "b" }
    for i, c in ipairs { first, second } do
      if pair[i] == "never-yes" then
        c:expect_refused(0x86)
      else
        c:expect { "CONNACK", reason = 0 }
        c:ping()
      end
    end
  end
end)

story("hundreds may wait while others come and go", "MQTT-3.1.4-5", function(t)
  local b = t:own_broker(conf "connect * wait\nconnect nobody deny")
  local waiting = {}
  for i = 1, 300 do waiting[i] = b:client { id = "w" .. i, username = "u" } end
  for i, c in ipairs(waiting) do c:expect { "CONNACK", reason = 0 } end
  waiting[300]:ping()
end, { alone = true })

story("an answer that never comes is a refusal, and the next client gets its own", "MQTT-3.1.4-2",
  function(t)
  local b = t:broker(conf("connect stuck never\nconnect * allow", "  decision_timeout 300ms;\n"))
  local stuck = b:client { username = "stuck" }
  b:join { username = "other" }:ping()
  stuck:expect_refused(0x88)
end)

story("a will that may not be left refuses the CONNECT", "MQTT-3.1.2-8/5", function(t)
  local b = t:broker(conf "will +/no deny")
  b:client { will = { topic = t.topic .. "/no", payload = "x" } }:expect_refused(0x87)
  b:client { will = { topic = t.topic .. "/yes", payload = "x" } }:expect { "CONNACK", reason = 0 }
end)

story("a connection ends when a module said so", "MQTT-4.13.1-1/5", function(t)
  local b = t:broker(conf "connect brief end\nconnect * allow")
  local c = b:join { username = "brief" }
  c:expect_dropped(0xA0)
end)

story("a message may go elsewhere", "MQTT-3.3.4-1/5", function(t)
  local b = t:own_broker(conf "message in/# to/out\nmessage bin/# drop")
  local c = b:join()
  c:subscribe { { "#", 1 } }
  c:publish { topic = "in/1", payload = "x", qos = 1 }
  c:receive { topic = "out", payload = "x" }
  c:publish { topic = "bin/1", payload = "x", qos = 1 }
  c:expect_nothing()
end)

story("a reload's rules hold for those who are there", "MQTT-3.3.5-2/3.1.1", function(t)
  local b = t:own_broker(conf "subscribe # allow")
  local c = b:join()
  c:subscribe { { "x/#", 1 } }
  c:publish { topic = "x/1", payload = "before", qos = 1 }
  c:receive { payload = "before" }
  b:reload(conf "deliver x/# deny\npublish y deny")
  b:wait_output "configuration reloaded"
  c:publish { topic = "x/1", payload = "after", qos = 1 }
  local id = c:take_id()
  c:send { "PUBLISH", topic = "y", payload = "", qos = 1, id = id }
  c:expect { "PUBACK", id = id, reason = 0x87 }
  c:expect_nothing()
end)

story.both("modules and clients know nothing of a mount point", "MQTT-3.3.2-1", function(t)
  local b = t:own_broker(conf("publish secret/# deny\nsubscribe mine wait\nmessage in to/out\nwill secret/w deny")
    .. [[

listener mqtt { bind 127.0.0.1:${port}; mount_point tenant/; }
listener whole { bind 127.0.0.1:${whole_port}; modules none; }]])
  local inside, outside = b:join(), b:join { port = b.ports.whole_port }
  outside:subscribe { { "#", 1 } }
  inside:subscribe { { "mine", 1 }, { "to/#", 1 } }
  local id = inside:take_id()
  inside:send { "PUBLISH", topic = "secret/1", payload = "x", qos = 1, id = id }
  inside:expect { "PUBACK", id = id, reason = inside.version == 5 and 0x87 or nil }
  inside:publish { topic = "in", payload = "1", qos = 1 }
  outside:receive { topic = "tenant/out", payload = "1" }
  outside:publish { topic = "tenant/mine", payload = "2", qos = 1 }
  outside:receive { topic = "tenant/mine" }
  inside:receive { topic = "mine", payload = "2" }
  outside:expect_nothing()
end)

story("an instance that is replaced while it thinks answers all the same", "MQTT-4.6.0-6", function(t)
  local b = t:own_broker(conf "publish slow long\npublish never never")
  local c, stuck = b:join(), b:join { id = "stuck" }
  c:subscribe { { "#", 1 } }
  stuck:send { "PUBLISH", topic = "never", payload = "x", qos = 1, id = 7 }
  local id = c:take_id()
  c:send { "PUBLISH", topic = "slow", payload = "x", qos = 1, id = id }
  repeat
    local info = ask(b, [[{"cmd":"module","do":"info","name":"judge"}]])
  until info.module.pending == 2
  b:reload(conf "publish slow deny")
  b:wait_output "configuration reloaded"
  c:expect { "PUBACK", id = id, reason = 0 }
  c:receive { topic = "slow", payload = "x" }
  id = c:take_id()
  c:send { "PUBLISH", topic = "slow", payload = "y", qos = 1, id = id }
  c:expect { "PUBACK", id = id, reason = 0x87 }
  stuck:close() -- and who leaves keeps nothing of the old one
  b:stop()
  t:check(not b.output:find "still held", b.output)
end)

-- -- Operators --

story("explain asks the real modules and leaves no trace", "MQTT-3.1.4-2", function(t)
  local b = t:own_broker(conf("connect bad deny\nsubscribe secret/# deny\npublish secret/# deny\n"
    .. "publish slow wait\ndeliver for-you deny\nmessage in to/out"))
  local c = b:join { id = "reader", username = "u" }
  c:subscribe { { "#", 1 } }
  local a = ask(b, [[{"cmd":"explain","what":"connect","client":"x","username":"bad","password":"p"}]])
  t:equal(a.verdict, "deny")
  t:equal(a.reason, 0x86)
  t:check(a.where:find("skep.conf:%d+ deny"), a.where)
  a = ask(b, [[{"cmd":"explain","what":"connect","client":"x"}]])
  t:equal(a.verdict, "allow") -- the listener's word
  t:equal(a.steps[1].says, "next")
  a = ask(b, [[{"cmd":"explain","what":"subscribe","client":"reader","topic":"secret/#","qos":1}]])
  t:equal(a.verdict, "deny")
  t:equal(a.client.username, "u")
  a = ask(b, [[{"cmd":"explain","what":"publish","client":"nobody","topic":"slow","qos":2}]])
  t:equal(a.verdict, "allow", "it waits for late answers")
  t:equal(a.receivers[1].client, "reader")
  t:equal(a.receivers[1].qos, 1)
  a = ask(b, [[{"cmd":"explain","what":"publish","client":"nobody","topic":"for-you"}]])
  t:equal(a.receivers[1].verdict, "deny")
  t:equal(a.receivers[1].by, "judge")
  a = ask(b, [[{"cmd":"explain","what":"publish","client":"nobody","topic":"in"}]])
  t:equal(a.topic, "out")
  a = ask(b, [[{"cmd":"explain","what":"publish","client":"nobody","topic":"a/+"}]])
  t:equal(a.ok, false)
  c:expect_nothing()
  a = ask(b, [[{"cmd":"client","id":"reader"}]])
  t:equal(#a.client.decisions, 2, "the CONNECT and the SUBSCRIBE, nothing of explain")

  local code, out = ctl(t, b, "explain", "publish", "reader", "secret/x")
  t:equal(code, 4)
  t:check(out:find("deny %(not authorized%) by judge: .*skep.conf:%d+ deny"), out)
  t:check(out:find "RECEIVERS" == nil, out)
  code, out = ctl(t, b, "explain", "publish", "reader", "open")
  t:equal(code, 0)
  t:check(out:find "RECEIVERS" and out:find "reader", out)
end)

story("clients can be listed, looked at and ended", "MQTT-3.14.4-1", function(t)
  local b = t:own_broker(conf "connect * allow\nsubscribe secret deny\npublish secret deny")
  local c = b:join { id = "one", username = "ann", clean = false,
    properties = { session_expiry = 100 } }
  local d = b:join { id = "two" }
  c:subscribe { { "a/#", 1 } }
  c:send { "SUBSCRIBE", id = 77, filters = { { "secret", 0 } } }
  c:expect { "SUBACK", id = 77, codes = { 0x87 } }
  local a = ask(b, [[{"cmd":"clients","list":true}]])
  t:equal(#a.clients, 2)
  a = ask(b, [[{"cmd":"clients","list":true,"username":"ann"}]])
  t:equal(#a.clients, 1)
  t:equal(a.clients[1].id, "one")
  t:equal(a.clients[1].subscriptions, 1)
  t:check(a.clients[1].address:find "^127%.0%.0%.1:", a.clients[1].address)
  a = ask(b, [[{"cmd":"client","id":"one"}]]).client
  t:equal(a.username, "ann")
  t:equal(a.session_expiry_s, 100)
  t:equal(a.filters[1].filter, "a/#")
  local last = a.decisions[#a.decisions]
  t:equal(last.stage, "subscribe")
  t:equal(last.verdict, "deny")
  t:equal(last.topic, "secret")
  t:equal(last.by, "judge")
  t:equal(ask(b, [[{"cmd":"client","id":"three"}]]).ok, false)

  local code, out = ctl(t, b, "clients")
  t:check(code == 0 and out:find "one" and out:find "two" and out:find "since", out)
  code, out = ctl(t, b, "client", "one")
  t:check(code == 0 and out:find "SUBSCRIPTIONS" and out:find "LAST DECISIONS", out)
  code = ctl(t, b, "kick", "one", "--text", "that is all")
  t:equal(code, 0)
  c:expect { "DISCONNECT", reason = 0x98, properties = { reason_string = "that is all" } }
  c:expect_closed()
  d:ping()
  t:equal((ctl(t, b, "kick", "one")), 1, "it is not there any more")
  a = ask(b, [[{"cmd":"clients","list":true,"all":true}]])
  t:equal(#a.clients, 2, "its session is")
end)

story("what happens to a client can be followed", "MQTT-3.1.4-2", function(t)
  local b = t:own_broker(conf "connect * allow\npublish secret deny")
  local n = ask(b, [[{"cmd":"trace","client":"one"}]]).trace
  local c, other = b:join { id = "one" }, b:join { id = "other" }
  other:publish { topic = "b", payload = "", qos = 1 }
  local id = c:take_id()
  c:send { "PUBLISH", topic = "secret", payload = "x", qos = 1, id = id }
  c:expect { "PUBACK", id = id, reason = 0x87 }
  local a = ask(b, ('{"cmd":"trace","next":%d}'):format(n))
  local seen = {}
  for _, e in ipairs(a.events) do
    t:equal(e.client, "one")
    if e.event == "decided" then seen[#seen + 1] = e.stage .. " " .. e.verdict end
  end
  t:equal(table.concat(seen, ", "), "connect allow, publish deny")
  t:equal(#ask(b, ('{"cmd":"trace","next":%d}'):format(n)).events, 0)
  ask(b, ('{"cmd":"trace","end":%d}'):format(n))
  t:equal(ask(b, ('{"cmd":"trace","next":%d}'):format(n)).ok, false)
end)
