-- Users and passwords from a file: who gets in, who is banned, and files that change.
local link = require "link"
local program = require "program"
local broker = require "broker"

-- The users file is written by skepctl, as an operator does it; a cheap hash spares the machine.
local function set_user(t, file, name, password, ...)
  local code, _, err = program.skepctl(t, "passwd", "-c", file, name, "-b", password,
    "--hash", "pbkdf2", "-I", "1000", ...)
  t:equal(code, 0, err)
end

local function broker_with(t, options, more)
  return t:own_broker(("load auth_file { file users; slow_down 0s; %s }\n%s"):format(options or "",
    more or ""), { prepare = function(b)
    set_user(t, b.dir .. "/users", "alice", "secret")
    set_user(t, b.dir .. "/users", "bob", "builder")
  end })
end

local function try(b, name, password, more)
  local o = { username = name, password = password }
  for k, v in pairs(more or {}) do o[k] = v end
  return b:client(o)
end

local function refused(b, name, password, more) try(b, name, password, more):expect_refused(0x86, 4) end
local function banned(b, name, password, more) try(b, name, password, more):expect_refused(0x8A, 5) end

local function call(t, b, ...)
  local words = {}
  for _, w in ipairs { ... } do words[#words + 1] = ('"%s"'):format(w) end
  return b:ask(('{"cmd":"module","do":"call","name":"auth_file","words":[%s]}'):format(
    table.concat(words, ",")))
end

story.both("the right password lets in, anything else does not", "MQTT-3.1.4-1 MQTT-3.1.4-2",
  function(t)
    local b = broker_with(t, "max_failures 0;")
    b:join { username = "alice", password = "secret" }:ping()
    b:join { username = "bob", password = "builder" }:ping()
    refused(b, "alice", "Secret")
    refused(b, "alice", "secre")
    refused(b, "alice", "secret\0")
    refused(b, "alice", "")
    refused(b, "alice", "builder")
    refused(b, "nobody", "secret")
    refused(b, "", "secret")
    refused(b, "alice")
    b:client():expect_refused(any { 0x86, 0x87 }, any { 4, 5 }) -- anonymous: no module says yes
    b:wait_output "user 'nobody' from 127.0.0.1 was refused: no such user"
    b:wait_output "user 'alice' from 127.0.0.1 was refused: wrong password"
    t:check(not b.output:find("secre", 1, true), "a password is in the log")
  end)

story("an unknown user may be the next module's business", "MQTT-3.1.4-2/5", function(t)
  local b = t:own_broker("load auth_file:one { file users; unknown next; slow_down 0s; }\n"
    .. "load auth_file:two { file more; slow_down 0s; }", { prepare = function(b)
    set_user(t, b.dir .. "/users", "alice", "one")
    set_user(t, b.dir .. "/more", "alice", "two")
    set_user(t, b.dir .. "/more", "carol", "two")
  end })
  b:join { username = "carol", password = "two" }
  b:join { username = "alice", password = "one" }
  refused(b, "alice", "two") -- the first module knows her, and decides
end)

story("who guesses is banned, and the real user elsewhere is not", "MQTT-3.1.4-2/5", function(t)
  local _, why = link.try_open { host = "::1", port = 1 }
  if why and not why:find "refused" then t:skip("no IPv6 here") end
  local b = broker_with(t, "max_failures 3;",
    "listener mqtt { bind 127.0.0.1:${port} [::1]:${port}; }")
  b:wait_listening { host = "::1", port = b.ports.port }
  for _ = 1, 3 do refused(b, "alice", "guess") end
  banned(b, "alice", "guess")
  banned(b, "alice", "secret") -- even with the right one
  b:join { username = "bob", password = "builder" }
  b:join { username = "alice", password = "secret", host = "::1" }
  b:wait_output "user 'alice' is banned from 127.0.0.1 for 300 s"
  local list = call(t, b, "bans")
  t:check(list:find('"address":"127.0.0.1","user":"alice"', 1, true), "the bans: %s", list)
  call(t, b, "unban", "alice")
  b:join { username = "alice", password = "secret" }
end)

story("an address that tries many users is banned for all", "MQTT-3.1.4-2/5", function(t)
  local b = broker_with(t, "max_address_failures 4;")
  for i = 1, 4 do refused(b, "user" .. i, "guess") end
  banned(b, "alice", "secret")
  b:wait_output "address 127.0.0.1 is banned for 300 s"
  call(t, b, "unban", "127.0.0.1")
  b:join { username = "alice", password = "secret" }
end)

story("bans survive a reload", "MQTT-3.1.4-2/5", function(t)
  local b = broker_with(t, "max_failures 1;")
  refused(b, "alice", "guess")
  b:reload "load auth_file { file users; slow_down 0s; max_failures 2; }"
  b:wait_output "configuration reloaded"
  banned(b, "alice", "secret")
  refused(b, "bob", "guess")
  b:join { username = "bob", password = "builder" }
end)

story("a changed users file is taken without a reload", "MQTT-3.1.4-2/5", function(t)
  local b = broker_with(t)
  local old = b:join { username = "bob", password = "builder" }
  set_user(t, b.dir .. "/users", "carol", "new")
  b:wait_output "the users file .*users changed and is in force"
  b:join { username = "carol", password = "new" }
  b:join { username = "alice", password = "secret" }
  broker.write_file(b.dir .. "/users", "alice:$7$broken\n")
  b:wait_output "users:1:%d+: .*the users file of before stays in force"
  b:join { username = "carol", password = "new" }
  b.output = ""
  os.remove(b.dir .. "/users")
  set_user(t, b.dir .. "/users", "dave", "four")
  b:wait_output "changed and is in force"
  b:join { username = "dave", password = "four" }
  refused(b, "carol", "new")
  old:ping() -- who is in stays in
end)

story("a broken users file does not start, and does not reload", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = broker_with(t, "watch off;")
  broker.write_file(b.dir .. "/users", "# people\nalice:plain text\n")
  b:reload "load auth_file { file users; slow_down 0s; }"
  b:wait_output "reload refused"
  t:check(b.output:find "users:2:7: this is no password hash", "the place: %s", b.output)
  b:join { username = "alice", password = "secret" }
end)

story("a users file that others may read is warned about", "MQTT-7.0.0-2/3.1.1", function(t)
  local b = broker_with(t)
  local function check()
    local _, out, err = program.run(t, broker.command, "-t", "-c", b.conf)
    return (out .. err):find("others than its owner and group may read", 1, true) ~= nil
  end
  t:equal(check(), false, "a warning about mode 0600")
  program.run(t, "/bin/chmod", "644", b.dir .. "/users")
  t:equal(check(), true, "a warning about mode 0644")
end)

story("a slow answer to a guess holds nobody else up", "MQTT-3.1.4-2/5", function(t)
  local b = t:own_broker("load auth_file { file users; slow_down 3s; slow_down_max 3s; }",
    { prepare = function(b) set_user(t, b.dir .. "/users", "alice", "secret") end })
  local guess = try(b, "alice", "guess")
  b:wait_output "was refused"
  local c = b:join { username = "alice", password = "secret" }
  c:subscribe(t.topic, 1)
  c:publish { topic = t.topic, payload = "x", qos = 1 }
  c:receive { payload = "x" }
  t:equal(#guess.inbox, 0, "answers to the guess so far")
  guess:expect_refused(0x86, 4)
end)

story("clients that leave while their password is hashed leave nothing behind", "MQTT-3.1.4-2/5",
  function(t)
    local b = broker_with(t, "max_failures 0; max_address_failures 0;")
    for i = 1, 60 do
      local c = try(b, i % 2 == 0 and "alice" or "nobody", "secret")
      if i % 3 == 0 then c:abort() else c:close() end
    end
    b:join { username = "alice", password = "secret" }:ping()
  end)

story("a remembered password is the right one, and void once it changes", "MQTT-3.1.4-2/5",
  function(t)
    local b = broker_with(t, "remember 1h;")
    for _ = 1, 5 do b:join { username = "alice", password = "secret" } end
    refused(b, "alice", "Secret")
    set_user(t, b.dir .. "/users", "alice", "other")
    b:wait_output "changed and is in force"
    refused(b, "alice", "secret")
    b:join { username = "alice", password = "other" }
  end)
