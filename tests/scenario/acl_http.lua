-- acl_http: a backend decides about topics and filters.
local backend = require "backend"
local broker = require "broker"
local program = require "program"

-- Fails unless `skep -t` takes the configuration; or, with `complaint`, says that.
local function checked(t, text, complaint)
  local dir = host.temp_dir()
  broker.write_file(dir .. "/skep.conf", "data_dir " .. dir .. "/data;\n" .. text)
  local code, out, err = program.run(t, broker.command, "-t", "-c", dir .. "/skep.conf")
  host.remove_tree(dir)
  t:check((code == 0) == not complaint, "skep -t ended with %d: %s%s", code, out, err)
  if complaint then
    t:check((out .. err):find(complaint, 1, true), "expected %q in: %s%s", complaint, out, err)
  end
end

local ALLOW = { body = { result = "allow" } }

local function pair(t, options, answers)
  local h = backend.start(t)
  h:answers(answers or { ["/acl"] = ALLOW })
  local text = ('anonymous allow;\nload acl_http { url "%s/acl"; decision_timeout 60s; timeout 50s; %s }\n'):format(h.url, options or "")
  return t:own_broker(text), h
end

local function by_topic(cases)
  return { ["/acl"] = { by = "topic", body = { result = "deny" }, cases = cases } }
end

local function publish(c, topic)
  return c:publish { topic = topic, payload = "x", qos = 1 }.reason
end

story("topics and filters are asked about", "MQTT-3.3.5-2", function(t)
  local b, h = pair(t, "", by_topic { good = ALLOW, ["in/+"] = ALLOW })
  local c = b:join { id = "bee", username = "maja", password = "x" }
  local ack = c:subscribe { { "in/+" }, { "#" }, { "$share/g/in/+" }, refused = true }
  t:equal(table.concat(ack.codes, " "), "0 135 0", "the codes")
  t:equal(publish(c, "good"), 0x10, "a good topic")
  t:equal(publish(c, "bad"), 0x87, "a bad topic")
  local asked = h:requests()
  t:equal(asked[1].body, '{"clientid":"bee","username":"maja","peerhost":"127.0.0.1",'
    .. '"action":"subscribe","topic":"in/+"}', "the question")
end)

story("an answer is remembered for client, action and topic", "", function(t)
  local b, h = pair(t, "", by_topic { good = ALLOW })
  local c, d = b:join { id = "one" }, b:join { id = "two" }
  for _ = 1, 5 do
    t:equal(publish(c, "good"), 0x10, "a good topic")
    t:equal(publish(c, "bad"), 0x87, "a bad topic")
  end
  t:equal(#h:requests(), 2, "questions asked")
  publish(d, "good")
  t:equal(#h:requests(), 3, "questions asked")
  c:subscribe({ { "good" }, refused = true })
  t:equal(#h:requests(), 4, "questions asked")
end)

story("what a client sends while it waits keeps its order", "MQTT-4.6.0-6", function(t)
  local b, h = pair(t, "", by_topic { [t.topic] = { hold = true }, other = ALLOW })
  local s = b:join { id = "sub" }
  h:answers(by_topic { [t.topic] = ALLOW, other = ALLOW })
  s:subscribe(t.topic, 0)
  s:subscribe("other", 0)
  h:answers(by_topic { [t.topic] = { hold = true }, other = ALLOW })
  local c = b:join { id = "pub" }
  c:publish { topic = t.topic, payload = "1" }
  c:publish { topic = "other", payload = "2" }
  c:publish { topic = t.topic, payload = "3" }
  h:wait_requests(3)
  s:expect_nothing()
  h:answers(by_topic { [t.topic] = ALLOW, other = ALLOW })
  for _, payload in ipairs { "1", "2", "3" } do s:receive { payload = payload } end
end)

story("an answer may lower the QoS of a subscription", "", function(t)
  local b = pair(t, "", { ["/acl"] = { body = { result = "allow", qos = 1 } } })
  t:equal(b:join {}:subscribe("a", 2).codes[1], 1, "the QoS granted")
end)

story("a will is asked about when the client connects", "", function(t)
  local b = pair(t, "", by_topic { [t.topic] = ALLOW })
  local s = b:join { id = "sub" }
  s:subscribe(t.topic, 0)
  local c = b:join { id = "good", will = { topic = t.topic, payload = "gone" } }
  c:abort()
  s:receive { payload = "gone" }
  local refused = b:client { id = "bad", will = { topic = "secret", payload = "x" } }
  refused:expect { "CONNACK", reason = 0x87 }
end)

story("a backend that is dead denies", "", function(t)
  local b, h = pair(t)
  local c = b:join {}
  h:kill()
  t:equal(publish(c, "a"), 0x87, "a topic nobody can tell about")
  c:ping()
end)

story("skepctl explain asks, and leaves no trace", "", function(t)
  local b, h = pair(t, "cache_allow 1h;", by_topic { good = ALLOW })
  local socket = b.dir .. "/data/control.sock"
  b:join { id = "bee" }
  local code, out = program.skepctl(t, "explain", "publish", "bee", "good", "--socket", socket)
  t:equal(code, 0, "the status of skepctl, which said " .. out)
  t:check(out:find("allow by acl_http", 1, true), "expected an allow: %s", out)
  code, out = program.skepctl(t, "explain", "publish", "bee", "bad", "--socket", socket)
  t:check(out:find("deny by acl_http", 1, true), "expected a deny: %s", out)
  t:equal(#h:requests(), 2, "questions asked")
  _, out = program.skepctl(t, "module", "call", "acl_http", "status", "--socket", socket)
  for _, name in ipairs { "remembered", "allowed", "denied", "cache_misses" } do
    t:check(out:find(name .. ":%s+0\n"), "%s counted: %s", name, out)
  end
end)

story("the example is a good configuration", "", function(t)
  local f = assert(io.open(host.root .. "/../../modules/acl_http/example.conf"))
  local text = f:read("a")
  f:close()
  checked(t, (text:gsub("/etc/skep/internal%-ca", t:certs() .. "/ca"):gsub("env:SKEP_AUTH_TOKEN", "x")))
end)
