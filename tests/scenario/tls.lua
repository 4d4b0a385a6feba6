-- TLS: versions, client certificates with a CRL, host names, pre-shared keys, reload.
local link = require "link"

local function conf(t, tls)
  local dir = t:certs()
  tls = (tls or "certificate ${certs}/server.pem; key ${certs}/server.key;"):gsub("%${certs}", dir)
  return ("listener mqtt { bind 127.0.0.1:${port}; }\nlistener mqtts { bind 127.0.0.1:${tls_port}; tls { %s } }\n")
    :format(tls)
end

local SERVER = "certificate ${certs}/server.pem; key ${certs}/server.key; "

-- Options of a client that trusts our CA.
local function client(t, more)
  local o = { ca = t:certs() .. "/ca.pem", sni = "localhost" }
  for k, v in pairs(more or {}) do o[k] = v end
  return o
end

local function with(t, name, more)
  more = more or {}
  more.certificate, more.key = t:certs() .. "/" .. name .. ".pem", t:certs() .. "/" .. name
    .. ".key"
  return client(t, more)
end

local function join(b, tls, options)
  options = options or {}
  options.port, options.tls = b.ports.tls_port, tls
  return b:join(options)
end

-- True when a client with these TLS options gets as far as a CONNACK 0.
local function admitted(b, tls)
  local stream = link.try_open { port = b.ports.tls_port, tls = tls }
  if not stream then return false end
  stream:send(require("mqtt").encode({ "CONNECT", id = "probe" }, 5))
  local bytes = stream:recv(link.deadline())
  stream:close()
  return bytes ~= nil and bytes:sub(1, 1) == "\x20" and bytes:byte(4) == 0
end

story.both("MQTT works over TLS", "MQTT-4.2-1/5 MQTT-4.2.0-1/3.1.1", function(t)
  local b = t:broker(conf(t))
  local c = join(b, client(t))
  c:subscribe(t.topic, 2)
  for qos = 0, 2 do
    c:publish { topic = t.topic, payload = "q" .. qos, qos = qos }
    c:receive { payload = "q" .. qos, qos = qos }
  end
  local payload = ("0123456789abcdef"):rep(20000)
  c:publish { topic = t.topic, payload = payload, qos = 1 }
  t:check(c:receive().payload == payload, "the payload changed")
  c:disconnect()
end)

story("TLS 1.2 and 1.3 are offered, nothing older", "MQTT-4.2-1/5", function(t)
  local b = t:broker(conf(t))
  for _, version in ipairs { "1.2", "1.3" } do
    local c = join(b, client(t, { min = version, max = version }))
    t:equal(c.stream:tls_info().version, "TLSv" .. version, "the version")
  end
  for _, version in ipairs { "1.0", "1.1" } do
    local stream = link.try_open { port = b.ports.tls_port, tls = client(t, { min = version,
      max = version }) }
    t:equal(stream, nil, "a connection with TLS " .. version)
  end
end)

story("TLS 1.3 alone, where so configured", "MQTT-4.2-1/5", function(t)
  local b = t:broker(conf(t, SERVER .. "min_version 1.3;"))
  t:check(admitted(b, client(t)), "1.3 was refused")
  t:check(not admitted(b, client(t, { max = "1.2" })), "1.2 was admitted")
end)

story("weak ciphers are not offered", "MQTT-4.2-1/5", function(t)
  local b = t:broker(conf(t))
  for _, cipher in ipairs { "ECDHE-ECDSA-AES128-SHA", "AES128-SHA", "NULL", "aNULL" } do
    t:check(not admitted(b, client(t, { max = "1.2", ciphers = cipher })), "%s was accepted",
      cipher)
  end
  t:check(admitted(b, client(t, { max = "1.2", ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256" })),
    "a good one was not")
end)

story("a session can be resumed with a ticket", "MQTT-4.2-1/5", function(t)
  local b = t:broker(conf(t))
  for _, version in ipairs { "1.2", "1.3" } do
    local c = join(b, client(t, { min = version, max = version }))
    c:ping() -- in TLS 1.3 the ticket follows the handshake
    t:equal(c.stream:tls_info().reused, false, "the first is a resumption")
    local ticket = c.stream:ticket()
    c:disconnect()
    c = join(b, client(t, { min = version, max = version, ticket = ticket }))
    t:equal(c.stream:tls_info().reused, true, "a resumption in TLS " .. version)
    c:ping()
  end
end)

story("the certificate fits the host name asked for", "MQTT-4.2-1/5", function(t)
  local b = t:broker(conf(t, SERVER .. "certificate ${certs}/other.pem; key ${certs}/other.key;"))
  for name, subject in pairs { localhost = "/CN=localhost", ["other.test"] = "/CN=other.test",
    ["unknown.test"] = "/CN=localhost" } do
    local c = join(b, client(t, { sni = name }))
    t:equal(c.stream:tls_info().subject, subject, "the certificate for " .. name)
  end
end)

story("ALPN mqtt is agreed on", "MQTT-4.2-1/5", function(t)
  local b = t:broker(conf(t, SERVER .. "alpn mqtt;"))
  local c = join(b, client(t, { alpn = "mqtt" }))
  t:equal(c.stream:tls_info().alpn, "mqtt", "the protocol")
  join(b, client(t)):ping()
end)

local VERIFY = SERVER .. "client_ca ${certs}/ca.pem; "

story("client certificates: required", "MQTT-3.1.4-2/5", function(t)
  local b = t:broker(conf(t, VERIFY .. "verify require; crl ${certs}/crl.pem;"))
  t:check(admitted(b, with(t, "client")), "alice was refused")
  t:check(not admitted(b, client(t)), "a client without a certificate was admitted")
  t:check(not admitted(b, with(t, "stranger")), "a certificate of another CA was admitted")
  t:check(not admitted(b, with(t, "revoked")), "a revoked certificate was admitted")
  for _, version in ipairs { "1.2", "1.3" } do
    t:check(not admitted(b, with(t, "revoked", { min = version, max = version })), "revoked, TLS "
      .. version)
  end
end)

story("client certificates: optional", "MQTT-3.1.4-2/5", function(t)
  local b = t:broker(conf(t, VERIFY .. "verify optional; crl ${certs}/crl.pem;"))
  t:check(admitted(b, with(t, "client")), "alice was refused")
  t:check(admitted(b, client(t)), "a client without a certificate was refused")
  t:check(not admitted(b, with(t, "stranger")), "a bad certificate was admitted")
  t:check(not admitted(b, with(t, "revoked")), "a revoked certificate was admitted")
end)

story("a client certificate vouches for its client", "MQTT-3.1.4-2/5", function(t)
  local b = t:broker(conf(t, VERIFY .. "verify optional; username_from cn;")
    :gsub("listener mqtts {", "listener mqtts { anonymous deny;"))
  t:check(admitted(b, with(t, "client")), "alice was refused")
  t:check(not admitted(b, client(t)), "a client nobody vouches for was admitted")
end)

story("pre-shared keys", "MQTT-3.1.4-2/5", function(t)
  local dir = t:certs()
  local f = assert(io.open(dir .. "/psk.txt", "w"))
  f:write("alice:00112233445566778899aabbccddeeff\nbob:ffeeddccbbaa99887766554433221100\n")
  f:close()
  local b = t:broker(conf(t, "psk_file ${certs}/psk.txt; psk_hint hive;"))
  local key = "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
  local function psk(identity, bytes, version)
    return { psk_identity = identity, psk = bytes, max = version, ciphers = version == "1.2"
      and "PSK" or nil }
  end
  for _, version in ipairs { "1.2", "1.3" } do
    t:check(admitted(b, psk("alice", key, version)), "alice with TLS %s was refused", version)
    t:check(not admitted(b, psk("bob", key, version)), "bob with alice's key, TLS %s", version)
    t:check(not admitted(b, psk("carol", key, version)), "an unknown identity, TLS %s", version)
  end
end)

story("plain bytes on a TLS port, and TLS on a plain one, end at once", "MQTT-4.8.0-2/3.1.1",
  function(t)
  local b = t:broker(conf(t))
  local c = b:socket { port = b.ports.tls_port }
  c:send { "CONNECT", id = t.topic }
  local bytes, why = c.stream:recv(link.deadline())
  while bytes do bytes, why = c.stream:recv(link.deadline()) end
  t:equal(why, "closed", "what happened")
  local stream = link.try_open { port = b.ports.port, tls = client(t) }
  t:equal(stream, nil, "a TLS connection")
  join(b, client(t)):ping()
end)

story("a handshake that stops half way is given up, others are served meanwhile",
  "MQTT-4.8.0-2/3.1.1", function(t)
  local b = t:broker(conf(t):gsub("listener mqtts {", "listener mqtts { connect_timeout 1s;"))
  local began = t:now()
  local half = {}
  for i = 1, 50 do
    half[i] = link.open { port = b.ports.tls_port }
    half[i]:send("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
  end
  join(b, client(t)):ping()
  for _, stream in ipairs(half) do
    local _, why = stream:recv(link.deadline())
    t:equal(why, "closed", "what happened to half a handshake")
    stream:close()
  end
  t:check(t:now() - began < 3.5, "given up only after %.1f s", t:now() - began)
end)

story("WebSocket over TLS", "MQTT-6.0.0-4", function(t)
  local b = t:broker(conf(t) .. ("listener wss { bind 127.0.0.1:${wss_port}; tls { %s } }")
    :format(SERVER:gsub("%${certs}", t:certs())))
  local c = b:join { port = b.ports.wss_port, tls = client(t), ws = {} }
  c:subscribe(t.topic, 1)
  c:publish { topic = t.topic, payload = "secure", qos = 1 }
  c:receive { payload = "secure" }
end)

local function copy(from, to)
  local f = assert(io.open(from, "rb"))
  local g = assert(io.open(to, "wb"))
  g:write(f:read("a"))
  f:close()
  g:close()
end

story("certificates are exchanged without dropping clients", "MQTT-4.2-1/5", function(t)
  local certs = t:certs()
  local own = host.temp_dir()
  copy(certs .. "/server.pem", own .. "/live.pem")
  copy(certs .. "/server.key", own .. "/live.key")
  local text = conf(t, ("certificate %s/live.pem; key %s/live.key;"):format(own, own))
  local b = t:own_broker(text)
  local old = join(b, client(t))
  t:equal(old.stream:tls_info().subject, "/CN=localhost", "the certificate before")
  copy(certs .. "/other.pem", own .. "/live.pem")
  copy(certs .. "/other.key", own .. "/live.key")
  b:reload(text)
  local deadline, subject = t:now() + 10, nil
  repeat
    local c = join(b, client(t))
    subject = c.stream:tls_info().subject
    c:disconnect()
  until subject == "/CN=other.test" or t:now() > deadline
  t:equal(subject, "/CN=other.test", "the certificate afterwards")
  old:ping()
  -- a broken file changes nothing
  local f = assert(io.open(own .. "/live.pem", "w"))
  f:write("this is no certificate\n")
  f:close()
  b:reload(text)
  b:wait_output "live%.pem"
  join(b, client(t)):ping()
  old:ping()
  host.remove_tree(own)
end)

story("the CRL is read again on reload", "MQTT-3.1.4-2/5", function(t)
  local text = conf(t, VERIFY .. "verify require;")
  local b = t:own_broker(text)
  t:check(admitted(b, with(t, "revoked")), "without a CRL mallory is let in")
  b:reload(conf(t, VERIFY .. "verify require; crl ${certs}/crl.pem;"))
  local deadline = t:now() + 10
  while admitted(b, with(t, "revoked")) do t:check(t:now() < deadline,
    "mallory is still let in") end
  t:check(admitted(b, with(t, "client")), "alice was refused")
end)
