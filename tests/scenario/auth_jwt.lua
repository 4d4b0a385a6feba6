-- auth_jwt with tokens of another implementation: algorithms, keys and their rotation, claims.
local backend = require "backend"
local broker = require "broker"
local program = require "program"
local jwt = require "jwt"
local link = require "link"

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

local SECRET = ("0123456789abcdef"):rep(4)

local function own(t, options)
  -- long enough for a slow machine
  return t:own_broker("load auth_jwt { decision_timeout 60s; jwks_timeout 9s; " .. options .. " }\n")
end

local function enter(b, token, options)
  options = options or {}
  options.username, options.password = options.username or "u", token
  return b:join(options)
end

local function refused(b, code, token, options)
  options = options or {}
  options.username, options.password = options.username or "u", token
  local c = b:client(options)
  local ack = c:expect { "CONNACK", reason = code }
  c:expect_closed()
  return ack.properties and ack.properties.reason_string
end

local function hs(claims, more)
  local token = { secret = SECRET, alg = "HS256", claims = claims }
  claims.exp_in = claims.exp_in or 3600
  for k, v in pairs(more or {}) do token[k] = v end
  return token
end

local ALGORITHMS = {
  RS256 = "rsa", RS384 = "rsa", RS512 = "rsa", PS256 = "rsa", PS384 = "rsa", PS512 = "rsa",
  ES256 = "p256", ES384 = "p384", ES512 = "p521", EdDSA = "ed",
}
local KEYS = { rsa = "RSA", p256 = "P-256", p384 = "P-384", p521 = "P-521", ed = "Ed25519" }

local function one_each()
  local tokens = {}
  for alg, key in pairs(ALGORITHMS) do
    tokens[alg] = { key = key, alg = alg, claims = { exp_in = 3600 }, headers = { kid = key } }
  end
  return tokens
end

story("every algorithm, with keys in PEM", "", function(t)
  local k = jwt.kit(t)
  local tokens = k:make { keys = KEYS, tokens = one_each() }
  local text = ""
  for name in pairs(KEYS) do text = text .. ("key %s { file %s/%s.pem; } "):format(name, k.dir, name) end
  local b = own(t, text)
  for alg in pairs(ALGORITHMS) do enter(b, tokens[alg]):disconnect() end
end)

story("every algorithm, with keys in a JWKS file; others' keys do not do", "", function(t)
  local k, stranger = jwt.kit(t), jwt.kit(t)
  local tokens = k:make { keys = KEYS, tokens = one_each(),
    jwks = { ["set.json"] = { "rsa", "p256", "p384", "p521", "ed" } } }
  local theirs = stranger:make { keys = KEYS, tokens = one_each() }
  local b = own(t, ("jwks_file %s/set.json;"):format(k.dir))
  for alg in pairs(ALGORITHMS) do
    enter(b, tokens[alg]):disconnect()
    refused(b, 0x86, theirs[alg])
  end
end)

story("secrets, with digests they are long enough for", "", function(t)
  local tokens = jwt.kit(t):make { tokens = {
    a = hs({}), b = hs({}, { alg = "HS384" }), c = hs({}, { alg = "HS512" }),
    other = hs({}, { secret = SECRET .. "x" }) } }
  local b = own(t, "secret " .. SECRET .. ";")
  for _, name in ipairs { "a", "b", "c" } do enter(b, tokens[name]):disconnect() end
  refused(b, 0x86, tokens.other)
  b = own(t, "algorithms HS512; secret " .. SECRET .. ";")
  enter(b, tokens.c)
  refused(b, 0x86, tokens.a)
end)

story("a public key is no secret, and `none` is no algorithm", "", function(t)
  local k = jwt.kit(t)
  local tokens = k:make { keys = { rsa = "RSA" }, tokens = {
    confused = { confuse = "rsa", claims = { exp_in = 3600 } },
    named = { confuse = "rsa", claims = { exp_in = 3600 }, headers = { kid = "rsa" } },
    none = { alg = "none", claims = { exp_in = 3600 } },
    good = { key = "rsa", alg = "RS256", claims = { exp_in = 3600 } } } }
  local b = own(t, ("public_key %s/rsa.pem; secret %s;"):format(k.dir, SECRET))
  for _, name in ipairs { "confused", "named", "none" } do refused(b, 0x86, tokens[name]) end
  refused(b, 0x86, (tokens.none:gsub("%.[^.]*$", ".")))
  refused(b, 0x86, (tokens.good:gsub("%.[^.]*$", ".")))
  enter(b, tokens.good)
end)

story("a header with `crit`, and a token too long, are refused", "", function(t)
  local tokens = jwt.kit(t):make { tokens = {
    crit = hs({}, { headers = { crit = { "exp" } } }),
    long = hs { pad = ("x"):rep(9000) }, good = hs {} } }
  local b = own(t, "secret " .. SECRET .. ";")
  refused(b, 0x86, tokens.crit)
  refused(b, 0x86, tokens.long)
  enter(b, tokens.good)
end)

story("what is no token is left to the next module", "", function(t)
  local b = own(t, "secret " .. SECRET .. ";")
  refused(b, 0x87, "hunter2") -- nobody had an opinion
  refused(b, 0x86, "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDB9.AAAA")
end)

story("times, issuer and audience", "", function(t)
  local tokens = jwt.kit(t):make { tokens = {
    good = hs { iss = "hive", aud = { "x", "mqtt" } },
    one = hs { iss = "hive", aud = "mqtt" },
    expired = hs { iss = "hive", aud = "mqtt", exp_in = -60 },
    lately = hs { iss = "hive", aud = "mqtt", exp_in = -2 },
    early = hs { iss = "hive", aud = "mqtt", nbf_in = 60 },
    issuer = hs { iss = "wasps", aud = "mqtt" },
    audience = hs { iss = "hive", aud = "web" },
    nobody = hs { iss = "hive" },
    endless = { secret = SECRET, alg = "HS256", claims = { iss = "hive", aud = "mqtt" } } } }
  local b = own(t, "issuer hive; audience mqtt; disconnect_at_expiry off; secret " .. SECRET .. ";")
  for _, name in ipairs { "good", "one", "lately" } do enter(b, tokens[name]):disconnect() end
  t:equal(refused(b, 0x87, tokens.expired), "token expired", "the reason")
  for _, name in ipairs { "early", "issuer", "audience", "nobody", "endless" } do
    refused(b, 0x87, tokens[name])
  end
end)

story("a token is its owner's alone where so required", "", function(t)
  local tokens = jwt.kit(t):make { tokens = { maja = hs { sub = "maja", dev = { "bee", "wasp" } } } }
  local b = own(t, "require sub %u; require dev %c; secret " .. SECRET .. ";")
  enter(b, tokens.maja, { username = "maja", id = "wasp" })
  refused(b, 0x87, tokens.maja, { username = "willy", id = "wasp" })
  refused(b, 0x87, tokens.maja, { username = "maja", id = "fly" })
end)

story("claims become the user name and rules", "", function(t)
  local tokens = jwt.kit(t):make { tokens = {
    lists = hs { sub = "maja", acl = { pub = { t.topic .. "/%u/#" }, sub = { t.topic .. "/+/x" } } },
    rules = hs { sub = "willy", acl = { { permission = "allow", action = "all",
      topic = t.topic .. "/${username}" } } },
    wrong = hs { sub = "flip", acl = { publish = { "#" } } },
    nameless = hs {} } }
  local b = own(t, "username_claim sub; acl_claim acl; secret " .. SECRET .. ";")
  local c = enter(b, tokens.lists)
  c:subscribe(t.topic .. "/maja/x", 0)
  t:equal(c:subscribe({ { "#" }, refused = true }).codes[1], 0x87, "everything")
  t:equal(c:publish { topic = t.topic .. "/maja/x", payload = "1", qos = 1 }.reason, 0, "its own")
  c:receive { payload = "1" }
  t:equal(c:publish { topic = t.topic .. "/willy", payload = "", qos = 1 }.reason, 0x87, "another's")
  c = enter(b, tokens.rules)
  t:check(c:publish { topic = t.topic .. "/willy", payload = "", qos = 1 }.reason < 0x80, "refused")
  t:equal(c:publish { topic = t.topic .. "/u", payload = "", qos = 1 }.reason, 0x87, "the CONNECT's")
  refused(b, 0x87, tokens.wrong)
  refused(b, 0x87, tokens.nameless)
end)

story("the token as the user name", "", function(t)
  local tokens = jwt.kit(t):make { tokens = { maja = hs { sub = "maja",
    acl = { all = { t.topic .. "/%u" } } } } }
  local b = own(t, "from username; username_claim sub; acl_claim acl; secret " .. SECRET .. ";")
  local c = b:join { username = tokens.maja }
  t:check(c:publish { topic = t.topic .. "/maja", payload = "", qos = 1 }.reason < 0x80, "refused")
end)

story("a connection ends with its token, an authenticated one goes on", "MQTT-4.12.1-1", function(t)
  local tokens = jwt.kit(t):make { tokens = { short = hs { sub = "maja", exp_in = 3 },
    long = hs { sub = "maja" }, other = hs { sub = "willy" } } }
  local b = own(t, "leeway 0s; secret " .. SECRET .. ";")
  local ends = enter(b, tokens.short)
  local goes_on = b:join { properties = { auth_method = "JWT",
    auth_data = tokens.short } }
  goes_on:send { "AUTH", reason = 0x19, properties = { auth_method = "JWT",
    auth_data = tokens.long } }
  goes_on:expect { "AUTH", reason = 0 }
  ends:expect_dropped(0xA0)
  goes_on:ping()
end)

story("enhanced authentication: a bad token, another method, somebody else's token",
  "MQTT-4.12.0-1", function(t)
  local tokens = jwt.kit(t):make { tokens = { maja = hs { sub = "maja" }, willy = hs { sub = "willy" },
    old = hs { sub = "maja", exp_in = -60 } } }
  local b = own(t, "secret " .. SECRET .. ";")
  local function with(method, token)
    return { properties = { auth_method = method, auth_data = token } }
  end
  b:client(with("JWT", tokens.old)):expect { "CONNACK", reason = 0x87 }
  b:client(with("JWT", "nonsense")):expect { "CONNACK", reason = 0x86 }
  b:client(with("jwt", tokens.maja)):expect { "CONNACK", reason = 0x8C }
  local c = b:join(with("JWT", tokens.maja))
  local again = with("JWT", tokens.willy)
  again[1], again.reason = "AUTH", 0x19
  c:send(again)
  c:expect_dropped(0x87)
end)

-- -- Keys behind a URL --

local function served(t, options, set)
  local k, h = jwt.kit(t), backend.start(t)
  local tokens = k:make { keys = { a = "P-256", b = "Ed25519" },
    jwks = { ["one.json"] = { "a" }, ["two.json"] = { "b" }, ["both.json"] = { "a", "b" } },
    tokens = {
      a = { key = "a", alg = "ES256", claims = { exp_in = 3600 }, headers = { kid = "a" } },
      b = { key = "b", alg = "EdDSA", claims = { exp_in = 3600 }, headers = { kid = "b" } },
      c = { key = "b", alg = "EdDSA", claims = { exp_in = 3600 }, headers = { kid = "c" } } } }
  local function serve(name) h:answers { ["/jwks"] = { body = k:read(name) } } end
  if set then serve(set) else h:answers { ["/jwks"] = { status = 500 } } end
  local b = own(t, ("jwks_url %s/jwks; %s"):format(h.url, options or ""))
  return b, h, tokens, serve
end

story("keys are fetched; an unknown one has them fetched again", "", function(t)
  local b, h, tokens, serve = served(t, "jwks_pause 1h;", "one.json")
  enter(b, tokens.a):disconnect()
  serve "both.json"
  enter(b, tokens.b):disconnect()
  enter(b, tokens.a):disconnect()
  t:equal(#h:requests(), 2, "fetches")
  for _ = 1, 5 do refused(b, 0x86, tokens.c) end -- not more often than jwks_pause
  t:equal(#h:requests(), 2, "fetches")
end)

story("many with an unknown key wait for one fetch", "", function(t)
  local b, h, tokens, serve = served(t, "jwks_pause 1h;", "one.json")
  enter(b, tokens.a):disconnect()
  h:answers { ["/jwks"] = { hold = true } }
  local waiting = {}
  for i = 1, 20 do waiting[i] = b:client { username = "u", password = tokens.b } end
  h:wait_requests(2)
  enter(b, tokens.a):disconnect() -- known keys go on
  serve "both.json"
  for _, c in ipairs(waiting) do c:expect { "CONNACK", reason = 0 } end
  t:equal(#h:requests(), 2, "fetches")
end)

story("clients that come before the first keys wait for them", "", function(t)
  local k, h = jwt.kit(t), backend.start(t)
  local tokens = k:make { keys = { a = "P-256" }, jwks = { ["one.json"] = { "a" } }, tokens = {
    a = { key = "a", alg = "ES256", claims = { exp_in = 3600 }, headers = { kid = "a" } } } }
  h:answers { ["/jwks"] = { hold = true } }
  local b = own(t, ("jwks_url %s/jwks;"):format(h.url))
  local c = b:client { username = "u", password = tokens.a }
  h:wait_requests(1)
  h:answers { ["/jwks"] = { body = k:read "one.json" } }
  c:expect { "CONNACK", reason = 0 }
end)

story("a server that is down or talks nonsense takes no key away", "", function(t)
  local b, h, tokens, serve = served(t, "jwks_pause 1ms;", "one.json")
  enter(b, tokens.a):disconnect()
  for _, answer in ipairs { { status = 500 }, { body = "{}" }, { body = '{"keys":[]}' }, { close = true } } do
    h:answers { ["/jwks"] = answer }
    refused(b, 0x88, tokens.b) -- nobody can tell
    enter(b, tokens.a):disconnect()
  end
  h:kill()
  refused(b, 0x88, tokens.b)
  enter(b, tokens.a):disconnect()
  b:wait_output "jwks"
  h:revive()
  serve "two.json"
  enter(b, tokens.b):disconnect()
  refused(b, 0x86, tokens.a) -- rotated away
end)

story("keys are refreshed by themselves", "", function(t)
  local b, h, tokens, serve = served(t, "jwks_pause 1h; jwks_refresh 1s;", "one.json")
  enter(b, tokens.a):disconnect()
  serve "two.json"
  h:wait_requests(#h:requests() + 2)
  refused(b, 0x86, tokens.a)
  enter(b, tokens.b):disconnect()
end)

story("a reload waits for its keys, and is refused without them", "", function(t)
  local b, h, tokens, serve = served(t, "", "one.json")
  enter(b, tokens.a):disconnect()
  h:answers { ["/jwks"] = { status = 500 } }
  b:reload(("load auth_jwt { jwks_url %s/jwks; leeway 1s; }\n"):format(h.url))
  b:wait_output "did not answer 200"
  enter(b, tokens.a):disconnect()
  serve "two.json"
  local before = #h:requests()
  b:reload(("load auth_jwt { jwks_url %s/jwks; leeway 2s; }\n"):format(h.url))
  h:wait_requests(before + 1)
  local deadline = link.deadline()
  repeat -- the old instance refuses b (it may not ask so soon), the new one knows it
    local c = b:client { username = "u", password = tokens.b }
    local ack = c:expect { "CONNACK" }
    c:close()
    t:check(host.now() < deadline, "the new keys are not in force")
  until ack.reason == 0
end)

story("a secret in a fetched set is no key", "", function(t)
  local k, h = jwt.kit(t), backend.start(t)
  local tokens = k:make { tokens = { a = hs({}, { headers = { kid = "s" } }) } }
  h:answers { ["/jwks"] = { body = '{"keys":[{"kty":"oct","kid":"s","k":'
    .. '"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg"}]}' } }
  local b = own(t, ("jwks_url %s/jwks;"):format(h.url))
  refused(b, 0x88, tokens.a)
end)

story("a token is in no log, also as a user name", "", function(t)
  local tokens = jwt.kit(t):make { tokens = { bad = hs({}, { secret = SECRET .. "x" }),
    good = hs { sub = "maja" } } }
  for _, from in ipairs { "password", "username" } do
    local b = own(t, ("from %s; username_claim sub; secret %s;"):format(from, SECRET))
    refused(b, 0x86, tokens.bad, { username = tokens.bad })
    enter(b, tokens.good, { username = tokens.good }):disconnect()
    b:stop()
    for _, token in pairs(tokens) do
      t:check(not b.output:find(token:sub(1, 100), 1, true), "the token was logged:\n%s", b.output)
    end
    t:check(not b.output:find(SECRET, 1, true), "the secret was logged")
  end
end)

story("the example is a good configuration", "", function(t)
  local f = assert(io.open(host.root .. "/../../modules/auth_jwt/example.conf"))
  local text = f:read("a")
  f:close()
  checked(t, (text:gsub("/etc/skep/internal%-ca", t:certs() .. "/ca"):gsub("env:SKEP_AUTH_TOKEN", "x")))
end)

story("options that make no sense are named with their place", "", function(t)
  local k = jwt.kit(t)
  k:make { keys = { p256 = "P-256" } }
  local function auth(options) return "load auth_jwt { " .. options .. " }\n" end
  checked(t, auth "", "no key")
  checked(t, auth "secret short;", "less than 32 bytes")
  checked(t, auth(("algorithms HS512; secret %s;"):format(SECRET:sub(1, 40))), "shorter than")
  checked(t, auth "public_key /does/not/exist;", "/does/not/exist")
  checked(t, auth(("public_key %s/p256.key;"):format(k.dir)), "private key")
  checked(t, auth(("algorithms RS256; public_key %s/p256.pem;"):format(k.dir)), "fits none")
  checked(t, auth "jwks_url file:///etc/passwd;", "http:// or https://")
  checked(t, auth(("secret %s; from username;"):format(SECRET)), "username_claim")
  checked(t, auth(("secret %s;\nattribute a b;"):format(SECRET)), "skep.conf:3:")
  checked(t, auth(("secret %s; require sub %%x;"):format(SECRET)), "unknown placeholder")
  checked(t, auth(("secret %s; key k { }"):format(SECRET)), "key k")
  checked(t, auth "algorithms none; jwks_url http://a.test/;", "none")
end)

story("a reload notices that a key file changed", "", function(t)
  local k, new = jwt.kit(t), jwt.kit(t)
  local spec = { keys = { a = "P-256", b = "RSA" }, tokens = {
    a = { key = "a", alg = "ES256", claims = { exp_in = 3600 } },
    b = { key = "b", alg = "RS256", claims = { exp_in = 3600 }, headers = { kid = "b" } } } }
  local old_tokens, new_tokens = k:make(spec), new:make(spec)
  local text = ("load auth_jwt { public_key %s/a.pem; key b { file %s/b.pem; } }\n"):format(k.dir, k.dir)
  local b = t:own_broker(text)
  enter(b, old_tokens.a):disconnect()
  for _, name in ipairs { "a", "b" } do
    refused(b, 0x86, new_tokens[name])
    assert(os.rename(("%s/%s.pem"):format(new.dir, name), ("%s/%s.pem"):format(k.dir, name)))
    b:reload(text)
    local deadline = link.deadline()
    repeat
      local c = b:client { username = "u", password = new_tokens[name] }
      local ack = c:expect { "CONNACK" }
      c:close()
      t:check(host.now() < deadline, "the new key is not in force")
    until ack.reason == 0
    refused(b, 0x86, old_tokens[name])
  end
end)

story("the broker ends while clients wait for keys", "", function(t)
  local b, h, tokens = served(t, "", "one.json")
  enter(b, tokens.a):disconnect()
  h:answers { ["/jwks"] = { hold = true } }
  local waiting = {}
  for i = 1, 5 do waiting[i] = b:client { username = "u", password = tokens.b } end
  h:wait_requests(2)
  b:stop()
end)
