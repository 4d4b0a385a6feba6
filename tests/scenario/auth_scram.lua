-- SCRAM-SHA-256 in the enhanced authentication of MQTT 5; the client's side is lib/scram.lua.
local program = require "program"
local scram = require "scram"

local method = "SCRAM-SHA-256"

local function prepare(t)
  return function(b)
    for name, password in pairs { alice = "secret", ["b,o=b"] = "builder" } do
      local code, _, err = program.skepctl(t, "passwd", "-c", b.dir .. "/users", name, "-b", password,
        "--hash", "scram", "-I", "4096")
      t:equal(code, 0, err)
    end
    local code = program.skepctl(t, "passwd", b.dir .. "/users", "carol", "-b", "plain", "--hash",
      "pbkdf2", "-I", "1000")
    t:equal(code, 0, "skepctl passwd")
  end
end

local conf = "load auth_scram { file users; slow_down 0s; }\nload auth_file { file users; }"
local function broker_of(t) return t:own_broker(conf, { prepare = prepare(t) }) end

local function connect(b, first, more)
  local o = { properties = { auth_method = method, auth_data = first } }
  for k, v in pairs(more or {}) do o[k] = v end
  return b:client(o)
end

local function challenge(c)
  return c:expect { "AUTH", reason = 0x18, properties = { auth_method = method } }
    .properties.auth_data
end

local function answer(c, data, reason)
  c:send { "AUTH", reason = reason or 0x18, properties = { auth_method = method, auth_data = data } }
end

-- A whole exchange up to the last answer.
local function exchange(b, s, more)
  local c = connect(b, s:first(), more)
  answer(c, s:final(challenge(c)))
  return c
end

local function let_in(c, s)
  c.connack = c:expect { "CONNACK", reason = 0, properties = { auth_data = s:signature() } }
  return c
end

story("both sides prove the password without sending it", "MQTT-4.12.0-2/5", function(t)
  local b = broker_of(t)
  for _, header in ipairs { "n,,", "y,,", "n,a=alice," } do
    local s = scram.new("alice", "secret", { header = header })
    let_in(exchange(b, s), s):ping()
  end
  local s = scram.new("b,o=b", "builder")
  let_in(exchange(b, s), s):ping()
  s = scram.new("alice", "secret")
  let_in(exchange(b, s, { username = "alice" }), s):ping()
end)

story("a wrong proof is refused, whatever the user", "MQTT-4.12.0-4/5", function(t)
  local b = broker_of(t)
  for _, who in ipairs { "alice", "carol", "nobody" } do -- carol has no verifier
    exchange(b, scram.new(who, "Secret")):expect_refused(0x86)
  end
  exchange(b, scram.new("carol", "plain")):expect_refused(0x86)
  local s = scram.new("alice", "secret")
  local c = connect(b, s:first())
  local final = s:final(challenge(c))
  answer(c, (final:gsub("p=..", "p=AA")))
  c:expect_refused(any { 0x86, 0x87 })
  b:join { username = "carol", password = "plain" } -- passwords are auth_file's
end)

story("who is in the file cannot be told from the challenge", "MQTT-4.12.0-4/5", function(t)
  local b = broker_of(t)
  local function asked(name)
    local s = scram.new(name, "guess")
    local c = connect(b, s:first())
    local _, salt, count = s:read(challenge(c))
    c:close()
    return salt, count
  end
  local real, real_count = asked "alice"
  local salt, count = asked "nobody"
  t:equal(#salt, #real, "length of the salt")
  t:equal(count, real_count, "iterations")
  t:equal((asked "nobody"), salt, "the salt, asked once more")
  t:check(asked "nobodi" ~= salt, "each name has its own salt")
  t:check(asked "carol" ~= asked "dave", "a user without verifier is like nobody")
  b:restart()
  t:equal((asked "nobody"), salt, "the salt after a restart")
  t:equal((asked "alice"), real, "the salt of a user")
end)

story("messages that are not SCRAM are refused", "MQTT-4.12.0-4/5", function(t)
  local b = broker_of(t)
  local function first(data, code)
    connect(b, data):expect_refused(code or any { 0x86, 0x87 })
  end
  first ""
  first "alice"
  first "p=tls-exporter,,n=alice,r=abcdef"
  first "n,,m=1,n=alice,r=abcdef"
  first "n,a=bob,n=alice,r=abcdef"
  first "n,,n=ali\xffce,r=abcdef"
  connect(b, "n,,n=alice,r=abcdef", { username = "carol" }):expect_refused(any { 0x86, 0x87 })
  for _, final in ipairs { "", "c=biws", "c=biws,r=abcdef,p=AAAA", ("x"):rep(20000) } do
    local s = scram.new("alice", "secret")
    local c = connect(b, s:first())
    challenge(c)
    answer(c, final)
    c:expect_refused(any { 0x86, 0x87 })
  end
  local c = b:client { properties = { auth_method = "SCRAM-SHA-1", auth_data = "n,,n=alice,r=x" } }
  c:expect_refused(0x8C)
end)

story("a client proves itself again, as the same user", "MQTT-4.12.1-1/5 MQTT-4.12.1-2/5", function(t)
  local b = broker_of(t)
  local s = scram.new("alice", "secret")
  local c = let_in(exchange(b, s), s)
  c:subscribe(t.topic, 1)
  for _ = 1, 2 do
    local again = scram.new("alice", "secret")
    answer(c, again:first(), 0x19)
    answer(c, again:final(challenge(c)))
    c:expect { "AUTH", reason = 0, properties = { auth_method = method,
      auth_data = again:signature() } }
  end
  c:publish { topic = t.topic, payload = "still here", qos = 1 }
  c:receive { payload = "still here" }
  local other = scram.new("b,o=b", "builder")
  answer(c, other:first(), 0x19)
  c:expect_dropped { 0x86, 0x87 }
end)

story("a re-authentication with a wrong proof ends the connection", "MQTT-4.12.1-2/5", function(t)
  local b = broker_of(t)
  local s = scram.new("alice", "secret")
  local c = let_in(exchange(b, s), s)
  local again = scram.new("alice", "wrong")
  answer(c, again:first(), 0x19)
  answer(c, again:final(challenge(c)))
  c:expect_dropped { 0x86, 0x87 }
end)

story("guesses are banned here, too", "MQTT-4.12.0-4/5", function(t)
  local b = t:own_broker("load auth_scram { file users; slow_down 0s; max_failures 2; }",
    { prepare = prepare(t) })
  for _ = 1, 2 do exchange(b, scram.new("alice", "guess")):expect_refused(0x86) end
  connect(b, scram.new("alice", "secret"):first()):expect_refused(0x8A)
  local s = scram.new("b,o=b", "builder")
  let_in(exchange(b, s), s)
end)

story("a new password counts for the next exchange", "MQTT-4.12.0-2/5", function(t)
  local b = broker_of(t)
  local s = scram.new("alice", "secret")
  local c = let_in(exchange(b, s), s)
  local code = program.skepctl(t, "passwd", b.dir .. "/users", "alice", "-b", "other", "--hash",
    "scram", "-I", "5000")
  t:equal(code, 0, "skepctl passwd")
  b:wait_output "auth_scram: the users file .* changed"
  exchange(b, scram.new("alice", "secret")):expect_refused(0x86)
  s = scram.new("alice", "other")
  let_in(exchange(b, s), s)
  c:ping()
end)
