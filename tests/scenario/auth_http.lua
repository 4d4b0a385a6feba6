-- auth_http against a real HTTP and HTTPS server: what its answers do, and what it costs whom when
-- it is slow, dead or wrong.
local backend = require "backend"
local broker = require "broker"
local link = require "link"
local program = require "program"
local sched = require "sched"

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
local DENY = { body = { result = "deny" } }

-- Long timeouts: what a story holds back must not run into them on a slow machine.
local function load_line(h, options)
  options = options or ""
  if not options:find("timeout", 1, true) then options = "decision_timeout 60s; timeout 50s; " .. options end
  return ('load auth_http { url "%s/auth"; %s }\n'):format(h.url, options)
end

-- A backend, and a broker of this story's own that asks it.
local function pair(t, options, answers, how)
  local h = backend.start(t, how)
  h:answers(answers or { ["/auth"] = ALLOW })
  return t:own_broker(load_line(h, options)), h
end

local function by_user(cases)
  return { ["/auth"] = { by = "username", body = { result = "deny" }, cases = cases } }
end

local function refused(b, code, options)
  local c = b:client(options)
  c:expect { "CONNACK", reason = code }
  c:expect_closed()
end

local function counts(t, b)
  local code, out, err = program.skepctl(t, "module", "call", "auth_http", "status", "--json",
    "--socket", b.dir .. "/data/control.sock")
  t:equal(code, 0, "skepctl's status, which said " .. out .. err)
  local numbers = {}
  for name, value in out:gmatch('"([%w_]+)":%s*(%d+)') do numbers[name] = tonumber(value) end
  numbers.breaker = out:match('"breaker":%s*"([%w ]+)"')
  return numbers
end

-- Until the module's status fits.
local function wait_counts(t, b, fits)
  local deadline = link.deadline()
  while true do
    local now = counts(t, b)
    if fits(now) then return now end
    t:check(host.now() < deadline, "the module's status stays as it is")
    sched.until_time(host.now() + 0.02)
  end
end

story.both("the backend decides who connects", "MQTT-3.1.4-2", function(t, version)
  local b = pair(t, "", by_user {
    maja = ALLOW,
    willy = { body = { result = "ignore" } },
    flip = { body = { result = "deny", reason = "unpaid", reason_code = 0x8A } },
    thekla = { status = 204 },
    kurt = { status = 401 },
    max = { status = 403, body = { reason = "not today" } },
  })
  b:join { username = "maja", password = "x" }:disconnect()
  b:join { username = "thekla", password = "x" }:disconnect()
  local five = version == 5
  refused(b, five and 0x87 or 5, { username = "nobody", password = "x" })
  refused(b, five and 0x87 or 5, { username = "willy", password = "x" })
  refused(b, five and 0x8A or 5, { username = "flip", password = "x" })
  refused(b, five and 0x86 or any { 4, 5 }, { username = "kurt", password = "x" })
  refused(b, five and 0x87 or 5, { username = "max", password = "x" })
end)

story("an MQTT 5 client hears the backend's reason", "MQTT-3.1.4-2", function(t)
  local b = pair(t, "", { ["/auth"] = { body = { result = "deny", reason = "unpaid" } } })
  local c = b:client { username = "flip", password = "x" }
  c:expect { "CONNACK", reason = 0x87, properties = { reason_string = "unpaid" } }
end)

story("an answer that is not whole lets nobody in", "", function(t)
  local cases = {
    empty = { body = "" },
    half = { body = { result = "allow" }, half = 3 },
    cut = { body = '{"result":"allow"' },
    closed = { close = true },
    html = { body = '{"result":"allow"}', type = "text/html" },
    word = { body = "allow" },
    twice = { body = '{"result":"deny","result":"allow"}' },
    moved = { status = 302, headers = { Location = "/yes" } },
    broken = { status = 500, body = { result = "allow" } },
    missing = { status = 404, body = { result = "allow" } },
    quota = { body = '{"result":"allow","quotas":{"mesage_rate":1}}' },
    big = { body = { result = "allow", pad = ("x"):rep(2000) } },
    attribute = { body = '{"result":"allow","attributes":{"a":[]}}' },
  }
  local b = pair(t, "max_answer 1k; breaker { failures 0; window 0; }", by_user(cases))
  for name in pairs(cases) do refused(b, 0x88, { username = name, password = "x" }) end
  t:equal(counts(t, b).allowed, 0, "answers taken for an allow")
end)

story("`on_error` decides what a failure means", "", function(t)
  local b = pair(t, "on_error next;", { ["/auth"] = { status = 500 } })
  refused(b, 0x87, { username = "maja", password = "x" })
end)

story("the question is JSON with the client's facts", "", function(t)
  local b, h = pair(t, "bearer sesame; header X-Listener %l;")
  b:join { id = t.topic, username = 'ma"ja\\', password = "p\tw" }
  local asked = h:wait_requests(1)[1]
  t:equal(asked.method, "POST", "the method")
  t:equal(asked.body, ('{"clientid":"%s","username":"ma\\"ja\\\\","password":"p\\u0009w",'
    .. '"peerhost":"127.0.0.1"}'):format(t.topic), "the body")
  t:equal(asked.headers.authorization, "Bearer sesame", "the token")
  t:equal(asked.headers["content-type"], "application/json", "the type")
  t:check(#asked.headers["x-listener"] > 0, "no listener in the header")
end)

story("the question is a query or a form where so configured", "", function(t)
  local b, h = pair(t, "format query; field who %u; user broker; password secret;")
  b:join { username = "a&b=c", password = "x" }
  local asked = h:wait_requests(1)[1]
  t:equal(asked.method .. asked.query .. asked.body, "GETwho=a%26b%3Dc", "the question")
  t:equal(asked.headers.authorization, "Basic YnJva2VyOnNlY3JldA==", "the credentials")
  b, h = pair(t, "format form; field p %P;")
  b:join { username = "x", password = "\0\xff" }
  t:equal(h:wait_requests(1)[1].body, "p=%00%FF", "the form")
end)

story("a password that is no text is refused, or sent in base64", "", function(t)
  local b, h = pair(t)
  refused(b, 0x86, { username = "x", password = "a\0b" })
  refused(b, 0x86, { username = "x", password = "\xff" })
  t:equal(#h:requests(), 0, "questions asked")
  b, h = pair(t, 'field p "%{password:base64}";')
  b:join { username = "x", password = "\0\xff" }
  t:equal(h:wait_requests(1)[1].body, '{"p":"AP8="}', "the question")
end)

story("an answer's rules are the client's, and deny the rest", "", function(t)
  local b = pair(t, "", { ["/auth"] = { body = { result = "allow", acl = {
    { permission = "allow", action = "publish", topic = t.topic .. "/${clientid}/#" },
    { permission = "allow", action = "subscribe", topic = t.topic .. "/+/out" },
  } } } })
  local c = b:join { id = "bee" }
  c:subscribe(t.topic .. "/bee/out", 0)
  t:equal(c:subscribe({ { t.topic .. "/#" }, refused = true }).codes[1], 0x87, "a wider filter")
  t:equal(c:publish { topic = t.topic .. "/bee/out", payload = "1", qos = 1 }.reason, 0, "its topic")
  c:receive { payload = "1" }
  t:equal(c:publish { topic = t.topic .. "/wasp/out", payload = "2", qos = 1 }.reason, 0x87,
    "another's topic")
  t:equal(c:publish { topic = "$x/y", payload = "2", qos = 1 }.reason, 0x87, "a topic with $")
  t:equal(c:subscribe({ { "$x/#" }, { "$SYS/#" }, refused = true }).codes[1], 0x87, "$x/#")
  c:expect_nothing()
end)

story("`acl_rest chain` leaves the rest to the others; a superuser may all", "", function(t)
  local rules = { { permission = "deny", action = "publish", topic = t.topic .. "/no" } }
  local b = pair(t, "acl_rest chain;", by_user {
    maja = { body = { result = "allow", acl = rules } },
    queen = { body = { result = "allow", acl = rules, is_superuser = true } },
  })
  local c = b:join { username = "maja", password = "x" }
  t:equal(c:publish { topic = t.topic .. "/no", payload = "", qos = 1 }.reason, 0x87, "denied")
  t:check(c:publish { topic = t.topic .. "/yes", payload = "", qos = 1 }.reason < 0x80, "refused")
  c = b:join { username = "queen", password = "x" }
  t:check(c:publish { topic = t.topic .. "/no", payload = "", qos = 1 }.reason < 0x80, "refused")
end)

story("an answer names the user, and limits it", "", function(t)
  local b = pair(t, "", { ["/auth"] = { body = { result = "allow", username = "hive",
    quotas = { subscriptions = 1 }, acl = { all = { t.topic .. "/%u/#" } } } } })
  local c = b:join { username = "maja", password = "x" }
  c:subscribe(t.topic .. "/hive/a", 0)
  t:equal(c:subscribe({ { t.topic .. "/hive/b" }, refused = true }).codes[1], 0x97, "a second one")
  t:equal(c:publish { topic = t.topic .. "/maja/a", payload = "", qos = 1 }.reason, 0x87,
    "the old name's topic")
end)

story("the connection ends when the answer says so", "", function(t)
  local b, h = pair(t)
  h:answers { ["/auth"] = { body = ('{"result":"allow","expire_at":%d}'):format(os.time() + 2) } }
  local c = b:join { username = "maja", password = "x" }
  c:expect_dropped(0xA0)
end)

story("answers are remembered for the same question only", "", function(t)
  local b, h = pair(t, "cache_allow 1h; cache_deny 1h; field u %u; field p %P;",
    { ["/auth"] = { by = "u", body = { result = "deny" }, cases = { maja = ALLOW } } })
  for _ = 1, 3 do
    b:join { username = "maja", password = "x" }:disconnect()
    refused(b, 0x87, { username = "willy", password = "x" })
  end
  t:equal(#h:requests(), 2, "questions asked")
  h:answers { ["/auth"] = { by = "p", body = { result = "deny" }, cases = { x = ALLOW } } }
  refused(b, 0x87, { username = "maja", password = "y" })
  t:equal(#h:requests(), 3, "questions asked")
  local n = counts(t, b)
  t:equal(n.cache_hits, 4, "hits")
  t:equal(n.cache_misses, 3, "misses")
  program.skepctl(t, "module", "call", "auth_http", "flush", "--socket",
    b.dir .. "/data/control.sock")
  h:answers { ["/auth"] = DENY }
  refused(b, 0x87, { username = "maja", password = "x" })
end)

story("nothing is remembered unless so configured", "", function(t)
  local b, h = pair(t)
  for _ = 1, 2 do b:join { username = "maja", password = "x" }:disconnect() end
  t:equal(#h:requests(), 2, "questions asked")
end)

story("an expired allow stands in for a dead backend, and for nobody else", "", function(t)
  local b, h = pair(t, "stale_if_error 1h; breaker { failures 0; window 0; } field u %u; field p %P;",
    { ["/auth"] = { by = "p", body = { result = "deny" }, cases = { x = ALLOW } } })
  b:join { username = "maja", password = "x" }:disconnect()
  refused(b, 0x87, { username = "willy", password = "y" })
  h:kill()
  b:join { username = "maja", password = "x" }:disconnect()
  refused(b, 0x88, { username = "maja", password = "z" })
  refused(b, 0x88, { username = "willy", password = "y" })
  t:equal(counts(t, b).cache_stale, 1, "answers that stood in")
  h:revive()
  h:answers { ["/auth"] = DENY }
  refused(b, 0x87, { username = "maja", password = "x" })
  h:kill()
  refused(b, 0x88, { username = "maja", password = "x" }) -- a deny takes the old allow away
end)

story("the breaker opens when the backend fails, and closes when it is back", "", function(t)
  local b, h = pair(t, "breaker { failures 3; pause 200ms; }")
  h:answers { ["/auth"] = { status = 503 } }
  for _ = 1, 3 do refused(b, 0x88, { username = "maja", password = "x" }) end
  wait_counts(t, b, function(n) return n.breaker ~= "closed" end)
  b:wait_output "backend"
  local asked = #h:requests()
  h:answers { ["/auth"] = ALLOW }
  local deadline = link.deadline()
  local tries = 0
  repeat -- refused at once, until the pause is over and one of them is the probe
    tries = tries + 1
    local c = b:client { username = "maja", password = "x" }
    local ack = c:expect { "CONNACK" }
    c:close()
    t:check(host.now() < deadline, "the breaker stays open")
  until ack.reason == 0
  t:equal(#h:requests(), asked + 1, "questions asked, the probe among them")
  local n = counts(t, b)
  t:equal(n.breaker, "closed", "the breaker")
  t:equal(n.breaker_refused, tries - 1, "those refused without a question")
  b:join { username = "maja", password = "x" }:disconnect()
end)

story("answers that make no sense do not open the breaker", "", function(t)
  local b = pair(t, "breaker { failures 2; window 4; rate 50; pause 1h; }",
    { ["/auth"] = { by = "username", status = 400, body = "", cases = { maja = {
      status = 200, body = { result = "allow" } } } } })
  for _ = 1, 8 do refused(b, 0x88, { username = "evil", password = "x" }) end
  b:join { username = "maja", password = "x" }:disconnect()
end)

story("the same question is on its way once", "", function(t)
  local b, h = pair(t, "field u %u;", { ["/auth"] = { hold = true } })
  local waiting = {}
  for i = 1, 20 do waiting[i] = b:client { username = "maja", password = "x" .. i } end
  wait_counts(t, b, function(n) return n.joined + n.cache_misses >= 20 end)
  h:answers { ["/auth"] = ALLOW }
  for _, c in ipairs(waiting) do c:expect { "CONNACK", reason = 0 } end
  t:check(#h:requests() <= 2, "%d questions asked on 2 loops", #h:requests())
end)

story("beyond the queue clients are told at once that the broker is busy", "", function(t)
  local h = backend.start(t)
  h:answers { ["/auth"] = { hold = true } }
  local b = t:own_broker("threads 1;\n" .. load_line(h, "connections 1; queue 2;"))
  local waiting = {}
  for i = 1, 3 do
    waiting[i] = b:client { username = "u" .. i, password = "x" }
    wait_counts(t, b, function(n) return n.cache_misses >= i end)
  end
  refused(b, 0x89, { username = "late", password = "x" })
  h:answers { ["/auth"] = ALLOW }
  for _, c in ipairs(waiting) do c:expect { "CONNACK", reason = 0 } end
  b:join { username = "late", password = "x" }
end)

story("who leaves while he waits is forgotten, and nobody gets his answer", "", function(t)
  local b, h = pair(t, "", { ["/auth"] = { hold = true } })
  local c = b:client { id = t.topic, username = "maja", password = "right" }
  h:wait_requests(1)
  c:abort()
  local other = b:client { id = t.topic, username = "maja", password = "wrong" }
  h:wait_requests(2)
  h:answers { ["/auth"] = { by = "password", body = { result = "deny" },
    cases = { right = ALLOW } } }
  other:expect { "CONNACK", reason = 0x87 }
end)

story("a client that waits holds nobody else up", "", function(t)
  local b, h = pair(t, "", by_user { a = ALLOW, b = ALLOW, slow = { hold = true } })
  local publisher = b:join { username = "a", password = "x" }
  local subscriber = b:join { username = "b", password = "x" }
  subscriber:subscribe(t.topic, 1)
  local waiting = {}
  for i = 1, 50 do waiting[i] = b:client { username = "slow", password = tostring(i) } end
  h:wait_requests(52)
  for i = 1, 200 do
    publisher:publish { topic = t.topic, payload = tostring(i), qos = 1 }
    subscriber:receive { payload = tostring(i) }
  end
  h:answers(by_user { slow = ALLOW })
  for _, c in ipairs(waiting) do c:expect { "CONNACK", reason = 0 } end
end)

story("a reload while clients wait loses none of them", "", function(t)
  local b, h = pair(t, "", { ["/auth"] = { hold = true } })
  local waiting = {}
  for i = 1, 10 do waiting[i] = b:client { username = "maja", password = tostring(i) } end
  h:wait_requests(10)
  b:reload(load_line(h, "decision_timeout 60s; timeout 40s; cache_allow 1h;"))
  b:wait_output "reload"
  h:answers { ["/auth"] = ALLOW }
  for _, c in ipairs(waiting) do c:expect { "CONNACK", reason = 0 } end
  for _ = 1, 2 do b:join { id = "new", username = "new", password = "x" }:disconnect() end
  t:equal(#h:requests(), 11, "questions asked: the new instance remembers")
end)

story("1000 clients at once against a slow backend all get in", "", function(t)
  local h = backend.start(t)
  h:answers { ["/auth"] = { by = "username", body = { result = "allow" }, delay = 0.2,
    cases = { pair = { delay = 0 } } } }
  local b = t:own_broker(load_line(h, "connections 256;"), { files = 4096 })
  local publisher = b:join { username = "pair", password = "x" }
  local subscriber = b:join { username = "pair", password = "x" }
  subscriber:subscribe(t.topic, 1)
  local waiting = {}
  for i = 1, 1000 do waiting[i] = b:client { username = "u" .. i, password = "x" } end
  for i = 1, 200 do -- the established ones go on meanwhile
    publisher:publish { topic = t.topic, payload = tostring(i), qos = 1 }
    subscriber:receive { payload = tostring(i) }
  end
  for _, c in ipairs(waiting) do c:expect({ "CONNACK", reason = 0 }, 60) end
  t:equal(#h:requests(), 1002, "questions asked")
end, { alone = true })

story("HTTPS: the backend has to be who it says it is", "", function(t)
  local certs = t:certs()
  local tls = { tls = { certs .. "/server.pem", certs .. "/server.key" } }
  local b = pair(t, ("ca %s/ca.pem;"):format(certs), nil, tls)
  b:join { username = "maja", password = "x" }
  b = pair(t, ("ca %s/foreign.pem;"):format(certs), nil, tls)
  refused(b, 0x88, { username = "maja", password = "x" })
  b = pair(t, "", nil, tls) -- the system's authorities do not know it
  refused(b, 0x88, { username = "maja", password = "x" })
  b = pair(t, ("ca %s/ca.pem;"):format(certs), nil,
    { tls = { certs .. "/other.pem", certs .. "/other.key" } }) -- for other.test
  refused(b, 0x88, { username = "maja", password = "x" })
end)

story("HTTPS: the broker shows its certificate", "", function(t)
  local certs = t:certs()
  local tls = { tls = { certs .. "/server.pem", certs .. "/server.key", certs .. "/ca.pem" } }
  local b = pair(t, ("ca %s/ca.pem; certificate %s/client.pem; key %s/client.key;"):format(certs,
    certs, certs), nil, tls)
  b:join { username = "maja", password = "x" }
  b = pair(t, ("ca %s/ca.pem;"):format(certs), nil, tls)
  refused(b, 0x88, { username = "maja", password = "x" })
end)

story("the password is in no log", "", function(t)
  local b, h = pair(t, "bearer sesame-open;", { ["/auth"] = { status = 500 } })
  b:ask "version"
  refused(b, 0x88, { username = "maja", password = "hunter2-secret" })
  h:kill()
  refused(b, 0x88, { username = "maja", password = "hunter2-secret" })
  b:wait_output "auth_http"
  b:stop()
  t:check(not b.output:find("hunter2", 1, true), "the password was logged")
  t:check(not b.output:find("sesame", 1, true), "the token was logged")
end)

story("the example is a good configuration", "", function(t)
  local f = assert(io.open(host.root .. "/../../modules/auth_http/example.conf"))
  local text = f:read("a")
  f:close()
  checked(t, (text:gsub("/etc/skep/internal%-ca", t:certs() .. "/ca"):gsub("env:SKEP_AUTH_TOKEN", "x")))
end)

story("options that make no sense are named with their place", "", function(t)
  local function auth(options) return "load auth_http { " .. options .. " }\n" end
  checked(t, auth "url ftp://a.test/;", "http:// or https://")
  checked(t, auth "", "url")
  checked(t, auth "url http://a.test/;\nfield u %z;", "skep.conf:3:")
  checked(t, auth "url http://a.test/; field t %t;", "no value here")
  checked(t, auth "url http://a.test/; body '{\"u\": %u}';", "not JSON")
  checked(t, auth "url http://a.test/; header X-A 'a\tb';", "visible ASCII")
  checked(t, auth "url http://a.test/; ca /does/not/exist;", "/does/not/exist")
  checked(t, auth "url http://a.test/; key /etc/hostname;", "need each other")
  checked(t, auth "url http://a.test/; user a; bearer b;", "exclude each other")
  checked(t, auth "url http://a.test/; breaker { rate 101; }", "rate")
end)

story("the broker ends while clients wait, at the backend and in the queue", "", function(t)
  local b, h = pair(t, "connections 2;", { ["/auth"] = { hold = true } })
  local waiting = {}
  for i = 1, 20 do waiting[i] = b:client { username = "u" .. i, password = "x" } end
  h:wait_requests(2)
  wait_counts(t, b, function(n) return n.cache_misses == 20 end)
  b:stop()
end)
