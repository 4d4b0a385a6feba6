-- metrics: what Prometheus and others get over HTTP.
local broker = require "broker"
local link = require "link"
local program = require "program"
local sched = require "sched"

local ROOT = debug.getinfo(1, "S").source:match("^@(.*)/tests/scenario/[^/]*$") or "."

-- GET with these headers; status, headers as one text, body.
local function get(where, path, headers, method)
  local s = link.open(where)
  s:send(("%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n"):format(method or "GET",
    path, headers or ""))
  local text = ""
  while true do
    local bytes = s:recv(link.deadline())
    if not bytes then break end
    text = text .. bytes
  end
  s:close()
  local head, body = text:match("^(.-)\r\n\r\n(.*)$")
  return tonumber(head and head:match("^HTTP/1.%d (%d+)")), head, body
end

-- The place where this broker serves metrics: it tells the port that it got.
local function place(b, scheme)
  local port = b:wait_output((scheme or "http") .. "://127%.0%.0%.1:(%d+)/metrics")
  return { port = tonumber(port) }
end

local function serving(t, more, rest)
  local b = t:own_broker(("load metrics { bind 127.0.0.1:0; %s }\n%s"):format(more or "", rest or ""))
  return b, place(b, more and more:find "certificate" and "https")
end

-- The families of an output: name -> type; and its samples: "name{labels}" -> value.
local function read(text)
  local families, samples, names = {}, {}, {}
  for line in text:gmatch("[^\n]+") do
    local name, kind = line:match("^# TYPE (%S+) (%S+)$")
    if name then
      families[name] = kind
    elseif line:sub(1, 1) ~= "#" then
      local key, value = line:match("^(.-) (%S+)$")
      samples[key] = tonumber(value)
      names[key:match("^[^{]+")] = true
    end
  end
  return families, samples, names
end

local function file(path)
  local f = assert(io.open(ROOT .. "/" .. path))
  local text = f:read("a")
  f:close()
  return text
end

-- A broker with something of everything that has metrics: a bridge and a module that decides.
local EVERYTHING = [[
load acl_file { file ${dir}/acl; }
load bridge_mqtt { connection m { address 127.0.0.1:1; topic out a; } }
]]

local function with_everything(t)
  local b = t:own_broker("load metrics { bind 127.0.0.1:0; }\n" .. EVERYTHING, {
    prepare = function(self) broker.write_file(self.dir .. "/acl", "topic readwrite #\n") end,
  })
  return b, place(b)
end

story("what clients do is counted", "", function(t)
  local b, where = serving(t)
  local c = b:join()
  c:subscribe("a", 1)
  for i = 1, 7 do
    c:publish { topic = "a", payload = "x", qos = 1 }
    c:receive { topic = "a" }
  end
  local status, head, body = get(where, "/metrics")
  t:equal(status, 200, "the status")
  t:check(head:find("Content-Type: text/plain; version=0.0.4; charset=utf-8", 1, true), head)
  local _, samples = read(body)
  t:equal(samples['skep_messages_received_total{qos="1"}'], 7, "messages received")
  t:equal(samples['skep_clients_connected'], 1, "clients")
  t:equal(samples['skep_subscriptions'], 1, "subscriptions")
  t:check(samples['process_resident_memory_bytes'] > 1e6, "memory")
  local _, _, again = get(where, "/metrics")
  _, samples = read(again)
  t:equal(samples['skep_module_scrapes_total{module="metrics"}'], 1, "scrapes")
  t:equal(samples['skep_module_scrape_seconds_count{module="metrics"}'], 1, "their times")
end)

story("OpenMetrics for those who ask for it", "", function(t)
  local _, where = serving(t)
  local status, head, body = get(where, "/metrics",
    "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n")
  t:equal(status, 200, "the status")
  t:check(head:find("application/openmetrics-text; version=1.0.0", 1, true), head)
  t:check(body:find "# TYPE skep_connects counter\n" and body:find "\nskep_connects_total 0\n",
    "counters are not written as OpenMetrics wants")
  t:check(body:sub(-6) == "# EOF\n", "it ends with %q", body:sub(-20))
  t:check(not body:find("\n\n", 1, true), "an empty line")
end)

story("health and readiness; other paths and methods", "", function(t)
  local _, where = serving(t, "token secret-token;")
  for _, path in ipairs { "/healthz", "/readyz" } do
    local status, _, body = get(where, path)
    t:equal(status, 200, path)
    t:equal(body, "ok\n", path)
  end
  t:equal(get(where, "/"), 404, "/")
  t:equal(get(where, "/metrics", nil, "POST"), 405, "POST")
  t:equal(get(where, "/metrics", nil, "DELETE"), 405, "DELETE")
end)

story("a token is asked for, and compared whole", "", function(t)
  local b, where = serving(t, "token secret-token;")
  local cases = {
    [""] = 401,
    ["Authorization: Bearer wrong\r\n"] = 401,
    ["Authorization: Bearer secret-toke\r\n"] = 401,
    ["Authorization: Bearer secret-token2\r\n"] = 401,
    ["Authorization: Basic secret-token\r\n"] = 401,
    ["Authorization: Bearer secret-token\r\n"] = 200,
    ["authorization: bearer secret-token\r\n"] = 200,
  }
  for headers, want in pairs(cases) do
    local status, head = get(where, "/metrics", headers)
    t:equal(status, want, headers)
    t:check(want == 200 or head:find "WWW%-Authenticate: Bearer", head)
  end
  local _, _, body = get(where, "/metrics", "Authorization: Bearer secret-token\r\n")
  local _, samples = read(body)
  t:equal(samples['skep_module_scrapes_refused_total{module="metrics"}'], 5, "refused")
  t:check(not b.output:find("secret%-token"), "the token is in the log")
end)

story("over TLS", "", function(t)
  local dir = t:certs()
  local _, where = serving(t, ("certificate %s/server.pem; key %s/server.key; token x;"):format(dir, dir))
  where.tls = { ca = dir .. "/ca.pem", sni = "localhost" }
  t:equal(get(where, "/metrics", "Authorization: Bearer x\r\n"), 200, "the status")
  t:equal(get(where, "/metrics"), 401, "without a token")
end)

story("beyond this machine only with TLS and a token, or when told so", "", function(t)
  local b = t:own_broker ""
  local dir = t:certs()
  local tls = ("certificate %s/server.pem; key %s/server.key;"):format(dir, dir)
  local cases = {
    ["bind 0.0.0.0:0;"] = "can be reached from other machines",
    ["bind 0.0.0.0:0; token x;"] = "can be reached from other machines",
    ["bind [::]:0; " .. tls] = "can be reached from other machines",
    ["bind 0.0.0.0:0; token x; " .. tls] = false,
    ["bind 0.0.0.0:0; open on;"] = false,
    ["bind 127.0.0.1:0; certificate " .. dir .. "/server.pem;"] = "go together",
    ["path metrics;"] = "begins with /",
    ["path /healthz;"] = "has another meaning",
  }
  for text, complaint in pairs(cases) do
    local path = b.dir .. "/try.conf"
    broker.write_file(path, "load metrics { " .. text .. " }\n")
    local code, out, err = program.run(t, broker.command, "-t", "-c", path)
    t:equal(code == 0, not complaint, text)
    t:check(not complaint or (out .. err):find(complaint), "%s: %s", text, out .. err)
  end
end)

story("a reload moves it, and keeps what was counted", "", function(t)
  local b, where = serving(t)
  get(where, "/metrics")
  b:reload "load metrics { bind 127.0.0.1:0; path /m; }"
  local port = tonumber(b:wait_output "http://127%.0%.0%.1:(%d+)/m\n")
  local status, _, body = get({ port = port }, "/m")
  t:equal(status, 200, "the status")
  local _, samples = read(body)
  t:equal(samples['skep_module_scrapes_total{module="metrics"}'], 1, "scrapes before")
  b:reload ""
  b:wait_output "load metrics: removed"
  local deadline = link.deadline()
  while true do
    local open = link.try_open { port = port }
    if not open then break end
    open:close()
    t:check(host.now() < deadline, "it is served still")
  end
end)

story("promtool finds no fault", "", function(t)
  local b, where = with_everything(t)
  local _, _, body = get(where, "/metrics")
  broker.write_file(b.dir .. "/output", body)
  local code, out, err = program.run(t, "sh", "-c", "promtool check metrics <" .. b.dir .. "/output")
  t:check(code == 0 and out .. err == "", "promtool: %s%s", out, err)
end)

local function until_found(t, port, query, want)
  local deadline, body = link.deadline(30)
  while host.now() < deadline do
    local status
    status, _, body = get({ port = port }, "/api/v1/query?query=" .. query)
    local value = status == 200 and body:match('"value":%[[%d.]+,"([^"]+)"%]')
    if value and (not want or tonumber(value) == want) then return value end
    sched.until_time(host.now() + 0.1)
  end
  t:check(false, "prometheus has no %s; it says %s", query, tostring(body))
end

story("prometheus scrapes it", "", function(t)
  local b, where = serving(t, "token secret;")
  local port = host.free_port()
  broker.write_file(b.dir .. "/prometheus.yml", ([[
global: { scrape_interval: 200ms, scrape_timeout: 200ms }
scrape_configs:
  - job_name: skep
    authorization: { credentials: secret }
    static_configs: [ { targets: [ "127.0.0.1:%d" ] } ]
]]):format(where.port))
  local p = assert(host.spawn { "prometheus", "--config.file=" .. b.dir .. "/prometheus.yml",
    "--storage.tsdb.path=" .. b.dir .. "/tsdb", "--web.listen-address=127.0.0.1:" .. port,
    "--log.level=error" })
  for _, name in ipairs { "out", "err" } do
    sched.daemon(function()
      while true do
        local bytes, why = p:read(name)
        if not bytes and why == "closed" then return end
        if not bytes then sched.wait(p:pipe(name), "r") end
      end
    end)
  end
  local ok, err = pcall(function()
    local deadline = link.deadline(30)
    while not link.try_open({ port = port }, link.deadline()) do
      t:check(host.now() < deadline, "prometheus does not listen")
      sched.until_time(host.now() + 0.05)
    end
    until_found(t, port, "up", 1)
    until_found(t, port, "skep_clients_connected", 0)
    local c = b:join()
    c:subscribe("a", 1)
    until_found(t, port, "skep_clients_connected", 1)
    until_found(t, port, "skep_subscriptions", 1)
  end)
  p:kill(9)
  sched.wait(p:pidfd(), "r", link.deadline())
  p:reap()
  if not ok then error(err, 0) end
end)

-- Families with modules' own names are described where their modules are.
local function of_module(name)
  return name:find "^skep_module_" and not ({ calls = 1, allowed = 1, denied = 1, errors = 1,
    timeouts = 1, cancelled = 1, pending = 1, seconds = 1 })[name:match "^skep_module_(%a+)"]
end

story("the dashboard asks for nothing that is not there", "", function(t)
  local _, where = with_everything(t)
  local _, _, body = get(where, "/metrics")
  local _, _, names = read(body)
  local text, asked = file "modules/metrics/grafana.json", 0
  local code, _, err = program.run(t, "python3", "-m", "json.tool", ROOT
    .. "/modules/metrics/grafana.json", "/dev/null")
  t:equal(code, 0, "JSON: " .. err)
  for expr in text:gmatch('"expr": "(.-[^\\])"') do
    for name in expr:gmatch "%f[%w_][a-z][a-z_]+_[a-z_]+" do
      if name:find "^skep_" or name:find "^process_" then
        asked = asked + 1
        t:check(names[name], "%s is in no output", name)
      end
    end
  end
  t:check(asked > 40, "only %d names were found", asked)
end)

story("the guide names every metric, and none that is not there", "", function(t)
  local _, where = with_everything(t)
  local _, _, body = get(where, "/metrics")
  local families = read(body)
  local told = {}
  for name, kind in (file "docs/guide/monitoring.md"):gmatch "\n| `([%w_]+)`[^|]* | (%a+) |" do
    told[name] = kind
  end
  for name, kind in pairs(families) do
    if not of_module(name) then
      t:equal(told[name], kind, name .. " in docs/guide/monitoring.md")
    end
  end
  for name in pairs(told) do t:check(families[name], "%s is in no output", name) end
end)
