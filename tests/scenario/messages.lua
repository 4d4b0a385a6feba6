-- What modules publish, consume and hear of, with the real broker around them.
local again = require "again"
local broker = require "broker"

local folder = (broker.command or ""):gsub("bin/[^/]*$", "tests/modules")
if not folder:find("^/") then folder = host.cwd and host.cwd() .. "/" .. folder or folder end

local function conf(text) return ("module_path %s;\n%s"):format(folder, text) end

local function call(b, name, ...)
  local words = {}
  for _, w in ipairs { ... } do words[#words + 1] = ('"%s"'):format(w) end
  return b:ask(('{"cmd":"module","do":"call","name":"%s","words":[%s]}'):format(name,
    table.concat(words, ",")))
end

local function number(answer)
  return tonumber(answer:match ':(%d+)[},]') or error("no number in " .. answer, 0)
end

-- Waits until the module says that so many messages are in its queue.
local function await_queued(b, c, want)
  for _ = 1, 500 do
    if number(call(b, "echo", "queued")) == want then return end
    c:ping()
  end
  error(("the queue holds %d, not %d"):format(number(call(b, "echo", "queued")), want), 0)
end

-- Payloads of what comes, until there are `count` different ones; how many came in all.
local function collect(c, count)
  local seen, order, all = {}, {}, 0
  while #order < count do
    local p = c:receive()
    all = all + 1
    if not seen[p.payload] then
      seen[p.payload] = true
      order[#order + 1] = tonumber(p.payload)
    end
  end
  return order, all
end

local function check_order(t, order, what)
  for i = 2, #order do
    t:check(order[i - 1] < order[i], "%s: %d comes before %d", what, order[i - 1], order[i])
  end
end

story.both("what a module consumes it may publish again", "MQTT-4.6.0-6", function(t, version)
  local b = t:own_broker(conf "threads 2;\nload echo;")
  b:wait_output "consumer ready"
  local p = b:join { version = version }
  local c = b:join { version = version }
  c:subscribe("echo/#", 2)
  for qos = 0, 2 do
    for i = 1, 20 do p:publish { topic = "in/" .. qos, payload = tostring(i), qos = qos } end
    for i = 1, 20 do
      c:receive { topic = "echo/in/" .. qos, payload = tostring(i), qos = qos }
    end
  end
  c:expect_nothing()
  await_queued(b, c, 0)
  local ledger = b:check_ledger()
  t:equal(broker.sum(ledger, "received_"), 120, "messages received, those of the module among them")
end)

story("properties go through a module", "MQTT-3.3.2-17/5", function(t)
  local b = t:own_broker(conf "load echo;")
  b:wait_output "consumer ready"
  local p, c = b:join(), b:join()
  c:subscribe("echo/#", 1)
  p:publish { topic = "in/x", payload = "h\u{e4}", qos = 1, properties = {
    payload_format = 1, content_type = "text/plain", response_topic = "answer",
    correlation_data = "\0\1", message_expiry = 100,
    user = { { "a", "1" }, { "a", "2" } } } }
  local got = c:receive().properties
  t:equal(got.payload_format, 1, "payload format")
  t:equal(got.content_type, "text/plain", "content type")
  t:equal(got.response_topic, "answer", "response topic")
  t:equal(got.correlation_data, "\0\1", "correlation data")
  t:check(got.message_expiry <= 100 and got.message_expiry > 90, "expiry")
  t:equal(#got.user, 2, "user properties")
end)

story("a module publishes from the management loop, in order", "MQTT-4.6.0-6", function(t)
  local b = t:own_broker(conf "threads 3;\nload echo;")
  local c = b:join()
  c:subscribe("many", 1)
  t:equal(number(call(b, "echo", "publish", "many", "500", "1")), 500, "taken")
  local order = collect(c, 500)
  check_order(t, order, "from one thread")
end)

-- What was not acknowledged is there again, in order; nothing that was comes twice.
again.story("a durable consumer's queue survives", "MQTT-4.5.0-1", function(t, restart)
  local b = t:own_broker(conf "load echo { durable on; paused on; }")
  b:wait_output "consumer ready"
  local p = b:join()
  for i = 1, 20 do p:publish { topic = "in/x", payload = tostring(i), qos = 1 + i % 2 } end
  t:equal(number(call(b, "echo", "queued")), 20, "queued")
  p:abort()
  restart(b)
  b:wait_output "consumer resumed"
  local c = b:join()
  c:subscribe("echo/#", 2)
  t:equal(number(call(b, "echo", "queued")), 20, "queued after the restart")
  call(b, "echo", "go")
  local order, all = collect(c, 20)
  check_order(t, order, "after the restart")
  t:equal(all, 20, "none twice, for none had been delivered")
  await_queued(b, c, 0)
end)

-- Killed in the middle of the work: at least once.
again.story("nothing is lost between a module and its next start", "MQTT-4.5.0-1",
  function(t, restart)
  local b = t:own_broker(conf "load echo { durable on; }")
  b:wait_output "consumer ready"
  local p = b:join()
  local c = b:join(again.keep(t))
  c:subscribe("echo/#", 1)
  for i = 0, 199 do -- many at a time, as far as the broker lets us
    p:send { "PUBLISH", topic = "in/x", payload = tostring(i), qos = 1, id = i + 1 }
    if i % 50 == 49 then
      for n = i - 49, i do p:expect { "PUBACK", id = n + 1 } end
    end
  end
  c:abort()
  p:abort()
  restart(b)
  b:wait_output "consumer resumed"
  c = b:join(again.keep(t))
  local order = collect(c, 200)
  t:equal(#order, 200, "all of them")
end)

story("a reload hands the queue to the next instance", "MQTT-4.6.0-6", function(t)
  local b = t:own_broker(conf 'threads 2;\nload echo { durable on; tag "0"; }')
  b:wait_output "consumer ready"
  local p, c = b:join(), b:join()
  c:subscribe("echo/#", 1)
  local sent = 0
  for round = 1, 5 do
    for _ = 1, 40 do
      sent = sent + 1
      p:send { "PUBLISH", topic = "in/x", payload = tostring(sent), qos = 1, id = sent }
    end
    for i = sent - 39, sent - 20 do p:expect { "PUBACK", id = i } end -- the others are under way
    b:reload(conf(('threads 2;\nload echo { durable on; tag "%d"; }'):format(round)))
    b:wait_output(("consumer resumed.*"):rep(round))
    for i = sent - 19, sent do p:expect { "PUBACK", id = i } end
  end
  local order = collect(c, sent)
  t:equal(#order, sent, "all of them")
  await_queued(b, c, 0)
  c:ping()
end)

story("5: no client gets a module's session by its id", "MQTT-3.1.4-3/5", function(t)
  local b = t:own_broker(conf "load echo { durable on; paused on; }")
  b:wait_output "consumer ready"
  local p = b:join()
  p:publish { topic = "in/x", payload = "secret", qos = 1 }
  for _, clean in ipairs { true, false } do
    local thief = b:client { id = "$echo/main", clean_start = clean }
    thief:expect { "CONNACK", reason = 0x87 }
  end
  t:equal(number(call(b, "echo", "queued")), 1, "queued")
end)

story("5: nor does it keep the module out", "MQTT-3.1.4-3/5", function(t)
  local b = t:own_broker ""
  local c = b:join { id = "$echo/main", clean_start = false, properties = { session_expiry = 100 } }
  c:subscribe("in/#", 1)
  b:reload(conf "load echo { durable on; }")
  c:expect_dropped(0x8E)
  b:wait_output "consumer ready"
  local p = b:join()
  local d = b:join()
  d:subscribe("echo/#", 1)
  p:publish { topic = "in/x", payload = "x", qos = 1 }
  d:receive { topic = "echo/in/x" }
end)

-- -- Events --

local KINDS = {
  connected = { "connects" }, refused = { "connects_refused" }, disconnected = { "disconnects" },
  subscribed = { "subscribes" }, published = { "accepted" }, publish_refused = { "refused_" },
  delivered = { "delivered_" }, dropped = { "dropped_" },
  retained = { "retained_set", "retained_cleared" },
}

-- What the module heard equals what the ledger counts.
local function compare(t, b)
  local heard, ledger = {}, b:check_ledger()
  for name, value in call(b, "teller", "counts"):gmatch '"([%w_]+)":(%d+)' do
    heard[name] = tonumber(value)
  end
  for kind, counters in pairs(KINDS) do
    local sum = 0
    for _, name in ipairs(counters) do
      sum = sum + (name:sub(-1) == "_" and broker.sum(ledger, name) or ledger[name])
    end
    t:equal(heard[kind], sum, kind)
  end
  return heard, ledger
end

local function last(b, kind) return call(b, "teller", "last", kind) end

local function says(t, b, kind, ...)
  local text = last(b, kind)
  for _, part in ipairs { ... } do
    t:check(text:find(part, 1, true), "%s: %q is not in %s", kind, part, text)
  end
end

story("5: events tell who, what and why", "MQTT-4.5.0-1", function(t)
  local b = t:own_broker(conf [[
sys_topics { interval off; }
limits { max_queue_messages 1; max_inflight 1; }
load teller;]])
  local c = b:join { id = t.topic, clean_start = false, properties = { session_expiry = 100 } }
  says(t, b, "connected", "client=" .. t.topic, "from=127.0.0.1", "flag=0")
  says(t, b, "session_began", "client=" .. t.topic)
  c:subscribe("a/+", 2)
  says(t, b, "subscribed", "client=" .. t.topic, "topic=a/+", "qos=2")
  c:publish { topic = "a/b", payload = "hello", qos = 1, retain = true }
  says(t, b, "published", "client=" .. t.topic, "topic=a/b", "payload=hello", "qos=1", "number=1",
    "retain=1")
  says(t, b, "retained", "topic=a/b", "flag=0")
  c:receive()
  c:ping()
  says(t, b, "delivered", "client=" .. t.topic, "topic=a/b", "qos=1")
  c:unsubscribe "a/+"
  says(t, b, "unsubscribed", "client=" .. t.topic, "topic=a/+")
  c:subscribe("q", 1)
  c:disconnect()
  local p = b:join { id = "p" .. t.topic }
  says(t, b, "disconnected", "client=" .. t.topic, "text=normal disconnection", "flag=1", "reason=0")
  p:publish { topic = "q", payload = "1", qos = 1 }
  p:publish { topic = "q", payload = "2", qos = 1 }
  says(t, b, "publish_refused", "client=p" .. t.topic, "topic=q", "text=quota", "reason=151")
  says(t, b, "dropped", "client=" .. t.topic, "topic=q", "text=queue_full", "number=1")
  p:publish { topic = "$SYS/x", payload = "2", qos = 1 }
  says(t, b, "publish_refused", "client=p" .. t.topic, "text=not_authorized", "reason=135")
  b:join { id = t.topic, clean_start = true }:abort()
  p:ping()
  says(t, b, "session_ended", "client=" .. t.topic, "text=")
  local bad = b:client { id = "", version = 4, clean_start = false }
  bad:expect { "CONNACK", reason = 2 }
  says(t, b, "refused", "reason=133", "text=client identifier not valid")
  compare(t, b)
end)

story("what events say sums up to the ledger", "MQTT-4.5.0-1", function(t)
  local b = t:own_broker(conf [[
threads 2;
sys_topics { interval off; }
limits { max_queue_messages 5; max_inflight 3; max_retained_messages 2; }
load teller;
load echo { from "random/echo/#"; to random; }]])
  b:wait_output "consumer ready"
  math.randomseed(815)
  local clients, serial = {}, 0
  local function one(i)
    local c = clients[i]
    if not c then
      c = b:join { id = "c" .. i, version = 4 + math.random(0, 1),
        clean_start = math.random(3) == 1,
        properties = { session_expiry = 100, maximum_packet_size = math.random(3) == 1 and 100
          or 100000 },
        will = math.random(2) == 1 and { topic = "random/w", payload = "w",
          qos = math.random(0, 2) } or nil }
      clients[i] = c
    end
    return c
  end
  local topics = { "random/a", "random/b", "random/echo/c", "nobody", "$SYS/no" }
  for _ = 1, 400 do
    local c, what = one(math.random(4)), math.random(12)
    serial = serial + 1
    if what <= 2 then
      c:subscribe(({ "random/#", "random/+", "$share/g/random/a" })[math.random(3)],
        math.random(0, 2))
    elseif what == 3 then
      c:abort()
      clients[tonumber(c.id:match "%d+")] = nil
    elseif what == 4 then
      c:send { "DISCONNECT" }
      c:close()
      clients[tonumber(c.id:match "%d+")] = nil
    else
      c:publish { topic = topics[math.random(#topics)], payload = ("x"):rep(math.random(0, 120)),
        qos = math.random(0, 2), retain = math.random(6) == 1 }
    end
    -- Half of what comes is answered; the rest stays open.
    if clients[tonumber(c.id:match "%d+")] then
      c:ping()
      local inbox = c.inbox
      c.inbox = {}
      for _, p in ipairs(inbox) do
        if p[1] == "PUBLISH" and math.random(2) == 1 then c:finish(p) end
      end
    end
  end
  for _, c in pairs(clients) do c:abort() end
  for i = 1, 4 do b:join { id = "c" .. i, clean_start = true }:disconnect() end
  local fence = b:join()
  fence:ping()
  local heard, ledger = compare(t, b)
  for kind in pairs(KINDS) do
    if kind ~= "refused" then t:check(heard[kind] > 0, "there was no event of the kind %s", kind) end
  end
  t:check(ledger.dropped_queue_full > 0 and ledger.dropped_session_ended > 0, "drops of each kind")
end)
