-- Access rules from a file: ours and mosquitto's, publishing, subscribing, receiving, wills.
local broker = require "broker"
local program = require "program"

local function users(t, b, ...)
  for _, name in ipairs { ... } do
    local code, _, err = program.skepctl(t, "passwd", "-c", b.dir .. "/users", name, "-b", "pw",
      "--hash", "pbkdf2", "-I", "1000")
    t:equal(code, 0, err)
  end
end

local function broker_with(t, rules, options)
  return t:own_broker(([[
load auth_file { file users; unknown next; }
load acl_file { file rules; %s }
listener mqtt { bind 127.0.0.1:${port}; anonymous allow; }]]):format(options or ""),
    { prepare = function(b)
      users(t, b, "alice", "bob")
      broker.write_file(b.dir .. "/rules", rules)
    end })
end

local function join(b, name, more)
  local o = { username = name, password = name and "pw" }
  for k, v in pairs(more or {}) do o[k] = v end
  return b:join(o)
end

local function refused(t, c, filter)
  local ack = c:subscribe { { filter, qos = 1 }, refused = true }
  t:equal(ack.codes[1], c.version == 5 and 0x87 or 0x80, "the answer for " .. filter)
end

-- A QoS 1 publish; MQTT 3.1.1 cannot be told that it was refused.
local function publish(t, c, topic, allowed, more)
  local p = { topic = topic, payload = topic, qos = 1 }
  for k, v in pairs(more or {}) do p[k] = v end
  local ack = c:publish(p)
  if c.version == 5 then
    t:equal(ack.reason >= 0x80 and ack.reason or 0, allowed and 0 or 0x87, "the answer for " .. topic)
  end
end

local rules = [[
deny  * publish ctl/off;
allow user alice all home/# ctl/#;
allow user bob subscribe qos<=0 home/+/temp;
deny  anonymous retain open/#;
allow * publish qos<=1 open/#;
allow * all own/%c/#;
]]

story.both("rules decide in the order of the file", "MQTT-3.8.4-6 MQTT-3.3.5-2", function(t)
  local b = broker_with(t, rules)
  local alice, bob, guest = join(b, "alice"), join(b, "bob"), join(b)
  alice:subscribe("home/#", 1)
  alice:subscribe("ctl/#", 1)
  refused(t, alice, "#")
  refused(t, alice, "home2")
  refused(t, bob, "home/#")
  t:equal(bob:subscribe("home/kitchen/temp", 2).codes[1], 0, "the QoS that bob gets")
  refused(t, guest, "home/kitchen/temp")
  publish(t, alice, "home/kitchen/temp", true)
  alice:receive { topic = "home/kitchen/temp", qos = 1 }
  bob:receive { topic = "home/kitchen/temp", qos = 0 }
  publish(t, bob, "home/kitchen/temp", false)
  publish(t, alice, "ctl/off", false)
  publish(t, alice, "ctl/on", true)
  alice:receive { topic = "ctl/on" }
  publish(t, guest, "home/x", false)
  for _, c in ipairs { alice, bob } do c:expect_nothing() end
end)

story("QoS and retain are conditions", "MQTT-3.3.5-2", function(t)
  local b = broker_with(t, rules)
  local alice, guest = join(b, "alice"), join(b)
  publish(t, guest, "open/x", true)
  publish(t, guest, "open/x", false, { retain = true })
  publish(t, guest, "open/x", false, { qos = 2 })
  publish(t, alice, "open/x", true, { retain = true })
end)

story("variables stand for the client's own, whatever it is called", "MQTT-3.3.5-2", function(t)
  local b = broker_with(t, rules)
  local c = join(b, nil, { id = "dev1" })
  c:subscribe("own/dev1/#", 1)
  publish(t, c, "own/dev1/x", true)
  c:receive { topic = "own/dev1/x" }
  publish(t, c, "own/dev2/x", false)
  refused(t, c, "own/+/x")
  for id, filter in pairs { ["+"] = "own/+/#", ["#"] = "own/#", ["dev1/x"] = "own/dev1/x/#",
    ["+/+"] = "own/+/+/#" } do
    local hostile = join(b, nil, { id = id })
    refused(t, hostile, filter)
    refused(t, hostile, "own/dev1/x")
    publish(t, hostile, "own/dev1/x", false)
  end
  c:expect_nothing()
end)

story("what is denied within a subscription refuses it, or is left out", "MQTT-3.8.4-6/5", function(t)
  local some = "deny * subscribe a/secret/#;\nallow * all a/#;\n"
  local b = broker_with(t, some)
  local c = join(b)
  refused(t, c, "a/#")
  refused(t, c, "#")
  c:subscribe("a/open/#", 1)
  b = broker_with(t, some, "overlap deliver;")
  c = join(b)
  c:subscribe("#", 1)
  refused(t, c, "a/secret/x")
  publish(t, c, "a/secret/x", true)
  publish(t, c, "a/x", true)
  c:receive { topic = "a/x" }
  c:expect_nothing()
end)

story("a will is a message like any other", "MQTT-3.1.2-8/5", function(t)
  local b = broker_with(t, rules)
  local alice = join(b, "alice")
  alice:subscribe("home/#", 1)
  b:client { username = "bob", password = "pw", will = { topic = "home/x", payload = "gone" } }
    :expect_refused(0x87)
  local leaver = join(b, "alice", { will = { topic = "home/x", payload = "gone" } })
  leaver:abort()
  alice:receive { topic = "home/x", payload = "gone" }
end)

story("changed rules hold at once, for what is subscribed already", "MQTT-3.8.4-6/5", function(t)
  local b = broker_with(t, "allow * all a/#;\n")
  local c, p = join(b), join(b)
  c:subscribe("a/#", 1)
  publish(t, p, "a/x", true)
  c:receive { topic = "a/x" }
  broker.write_file(b.dir .. "/rules", "deny * receive a/x;\nallow * all a/#;\n")
  b:wait_output "acl_file: the access file .* changed and is in force"
  publish(t, p, "a/x", true)
  publish(t, p, "a/y", true)
  c:receive { topic = "a/y" }
  broker.write_file(b.dir .. "/rules", "allow * all a/#;\nallow * publsh b;\n")
  b:wait_output "rules:2:9: .*the access file of before stays in force"
  publish(t, p, "a/x", true)
  publish(t, p, "a/y", true)
  c:receive { topic = "a/y" }
  broker.write_file(b.dir .. "/rules", "allow * subscribe a/#;\n")
  b.output = ""
  b:wait_output "changed and is in force"
  publish(t, p, "a/x", false) -- no remembered verdict is left
  c:expect_nothing()
end)

story("retained messages and queues obey the rules of the moment", "MQTT-3.8.4-4/5", function(t)
  local b = broker_with(t, "allow * all a/#;\n")
  local p = join(b)
  publish(t, p, "a/x", true, { retain = true })
  publish(t, p, "a/y", true, { retain = true })
  local keep = { id = "away", clean_start = false, properties = { session_expiry = 60 } }
  local c = join(b, nil, keep)
  c:subscribe("a/q/#", 1)
  c:disconnect()
  publish(t, p, "a/q/x", true)
  publish(t, p, "a/q/y", true)
  broker.write_file(b.dir .. "/rules", "deny * receive a/x a/q/x;\nallow * all a/#;\n")
  b:wait_output "changed and is in force"
  local reader = join(b)
  reader:subscribe("a/+", 1)
  reader:receive { topic = "a/y" }
  reader:expect_nothing()
  c = join(b, nil, keep)
  c:receive { topic = "a/q/y" }
  c:expect_nothing()
end)

story.both("mosquitto's file means what it does there", "MQTT-3.8.4-6", function(t)
  local b = broker_with(t, [[
topic read open/#
user alice
topic home/#
topic deny home/safe
pattern write dev/%c/%u
]])
  local alice, guest = join(b, "alice", { id = "c1" }), join(b)
  alice:subscribe("#", 1) -- granted; deliveries are checked
  guest:subscribe("#", 1)
  publish(t, alice, "home/x", true)
  alice:receive { topic = "home/x" }
  publish(t, alice, "home/safe", false)
  publish(t, alice, "dev/c1/alice", true)
  publish(t, alice, "dev/c2/alice", false)
  publish(t, alice, "open/x", false)
  publish(t, guest, "open/x", false)
  alice:expect_nothing()
  guest:expect_nothing()
end)

story("explain names the line that decides", "MQTT-3.3.5-2", function(t)
  local b = broker_with(t, rules)
  local function explain(what, ...)
    local code, out, err = program.skepctl(t, "explain", what, "-S", b.dir .. "/data/control.sock", ...)
    t:check(code == 0 or code == 4, "status %d: %s%s", code, out, err)
    return out
  end
  local function says(line, out)
    t:check(out:find("rules:" .. line, 1, true), "line %s in: %s", line, out)
  end
  says("1 deny", explain("publish", "-u", "alice", "c", "ctl/off"))
  says("2 allow", explain("publish", "-u", "alice", "c", "ctl/on"))
  says("6 allow", explain("subscribe", "dev1", "own/dev1/#"))
  t:check(explain("subscribe", "dev1", "own/#"):find "no rule applies", "no line to name")
end)

story("rules and users change under traffic, and nobody notices", "MQTT-4.3.2-1/5", function(t)
  local b = broker_with(t, rules)
  local pairs_of = {}
  for i = 1, 6 do
    local name = i % 2 == 0 and "alice" or nil
    local topic = name and "home/" .. i or ("own/dev%d/x"):format(i)
    local c = join(b, name, { id = "dev" .. i })
    c:subscribe(topic, 1)
    pairs_of[i] = { client = c, topic = topic }
  end
  local function traffic()
    for n = 1, 15 do
      for _, p in ipairs(pairs_of) do
        publish(t, p.client, p.topic, true, { payload = tostring(n) })
        p.client:receive { topic = p.topic, payload = tostring(n) }
      end
    end
  end
  local reloads = 0
  for round = 1, 4 do
    traffic()
    broker.write_file(b.dir .. "/rules", ("# %d\n"):format(round) .. rules)
    traffic() -- the file is taken in somewhere here, unless the reload comes first
    b.output = ""
    b:signal "HUP"
    traffic()
    b:wait_output "configuration reloaded"
    reloads = reloads + 1
  end
  traffic()
  t:equal(reloads, 4, "reloads")
end)
