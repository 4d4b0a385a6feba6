-- skepctl store on the stores of the real broker: backup while it runs, all else after it ended.
local again = require "again"
local link = require "link"
local program = require "program"
local sched = require "sched"

local function store(b) return b.dir .. "/data/store" end

-- Fails the story unless skepctl store ends with `status`; returns what it printed.
local function tool(t, status, ...)
  local code, out, err = program.skepctl(t, "store", ...)
  t:check(code == status, "skepctl store %s ended with %d: %s%s", table.concat({ ... }, " "), code,
    out, err)
  return out .. err
end

local function says(t, text, part)
  t:check(text:find(part, 1, true), "expected %q in:\n%s", part, text)
end

-- A broker whose store is what was put into the folder `from`.
local function broker_on(t, from, text)
  return t:own_broker(text, { prepare = function(b)
    t:check(os.execute(("mkdir %s/data && mv %s %s"):format(b.dir, from, store(b))))
  end })
end

-- A session that takes what publish() sends; its client is gone.
local function leave_session(t, b)
  local c = b:join(again.keep(t))
  c:subscribe(t.topic, 1)
  c:disconnect()
end

local function publish(t, p, first, last)
  for i = first, last do p:publish { topic = t.topic, payload = ("message %d."):format(i), qos = 1 } end
end

local function take(t, b, first, last)
  local c = b:join(again.keep(t))
  t:check(c.connack.session_present, "the session is gone")
  for i = first, last do c:receive { payload = ("message %d."):format(i) } end
  return c
end

story("a backup under traffic has all that was acknowledged before it", "MQTT-4.1.0-1/5",
  function(t)
  local text = "limits { max_queue_messages 1000000; }"
  local b = t:own_broker(text)
  local copy = b.dir .. "/copy"
  leave_session(t, b)
  local p = b:join()
  p:publish { topic = t.topic .. "/kept", payload = "kept", qos = 1, retain = true }
  publish(t, p, 1, 200)
  local busy, stop, count = true, false, 200
  sched.start(function()
    local ok, err = pcall(function()
      while not stop do
        publish(t, p, count + 1, count + 1)
        count = count + 1
      end
    end)
    busy = not ok and err
    sched.signal(p)
  end)
  local ok, err = pcall(tool, t, 0, "backup", copy, "--socket", b.dir .. "/data/control.sock")
  local acked = count
  stop = true
  while busy == true do sched.listen(p, host.now() + 1) end
  t:check(ok, "%s", err)
  t:equal(busy, false, "what ended the publisher")
  t:check(count > 200, "there was no traffic")
  says(t, err, "is a store of its own")
  says(t, tool(t, 0, "check", copy), "healthy")

  local other = broker_on(t, copy, text)
  local c = take(t, other, 1, 200)
  c:subscribe(t.topic .. "/kept", 0)
  -- of what was acknowledged meanwhile there is a first part without gaps
  local i = 200
  while true do
    local m = c:try_next()
    if m[1] == "PUBLISH" and m.payload == "kept" then break end
    if m[1] == "PUBLISH" then
      i = i + 1
      t:equal(m.payload, ("message %d."):format(i), "the next message")
      c:send { "PUBACK", id = m.id }
    end
  end
  t:check(i <= acked + 1, "%d messages out of %d", i, acked)
  other:check_ledger()
  -- and the first one has lost nothing
  take(t, b, 1, count):expect_nothing()
end)

story("a backup is refused with a reason", "MQTT-4.1.0-1/5", function(t)
  local b = t:own_broker()
  local socket = b.dir .. "/data/control.sock"
  says(t, tool(t, 1, "backup", store(b), "--socket", socket), "is not empty")
  says(t, tool(t, 1, "backup", b.dir .. "/no/such/folder", "--socket", socket), "cannot make")
  says(t, tool(t, 1, "backup", "/dev/null", "--socket", socket), "/dev/null")
  says(t, tool(t, 3, "backup", b.dir .. "/copy", "--socket", b.dir .. "/nothing"), "cp -a")
  says(t, tool(t, 0, "backup", b.dir .. "/copy", "--json", "--socket", socket), '"took_ms"')
  b:restart "store off;"
  says(t, tool(t, 1, "backup", b.dir .. "/other", "--socket", socket), "the store is off")
end)

story("status tells of the store", "MQTT-4.1.0-1/5", function(t)
  local b = t:own_broker()
  local socket = b.dir .. "/data/control.sock"
  leave_session(t, b)
  local code, out = program.skepctl(t, "status", "--socket", socket)
  t:equal(code, 0, "the exit status")
  says(t, out, "sync always")
  t:check(out:find("log +[1-9]%d* bytes since the last checkpoint"), "no log in:\n%s", out)
  _, out = program.skepctl(t, "status", "--json", "--socket", socket)
  says(t, out, '"ready":true')
  says(t, out, '"refusing":false')
  local numbers = b:control "status"
  t:check(numbers.syncs > 0 and numbers.log_bytes > 0 and numbers.segments > 0, out)
  b:restart "store off;"
  _, out = program.skepctl(t, "status", "--socket", socket)
  says(t, out, "off: nothing survives a restart")
end)

story("tools leave a store alone that a broker has", "MQTT-4.1.0-1/5", function(t)
  local b = t:own_broker()
  for _, words in ipairs { { "check" }, { "stat" }, { "compact" }, { "repair", "--yes" },
    { "export", b.dir .. "/text" } } do
    local said = tool(t, 1, words[1], store(b), table.unpack(words, 2))
    says(t, said, "in use by another process")
    says(t, said, "stop Skep first")
  end
  says(t, tool(t, 1, "import", store(b), "/dev/null"), "is there already")
end)

local ends = {
  { name = "a crash", stop = function(b) b:kill() end },
  { name = "SIGTERM", stop = function(b) b:stop() end },
}

for _, way in ipairs(ends) do
  story("check, stat, compact, export and import after " .. way.name, "MQTT-4.1.0-1/5",
    function(t)
    local b = t:own_broker()
    leave_session(t, b)
    local p = b:join()
    p:publish { topic = t.topic .. "/kept", payload = "kept", qos = 1, retain = true }
    publish(t, p, 1, 20)
    take(t, b, 1, 20):disconnect()
    publish(t, p, 21, 60)
    way.stop(b)
    says(t, tool(t, 0, "check", store(b)), "healthy")
    says(t, tool(t, 0, "stat", store(b), "--json"), '"queued":40,')
    says(t, tool(t, 0, "compact", store(b)), "tables")
    says(t, tool(t, 0, "export", store(b), b.dir .. "/text"), "40 queued")
    says(t, tool(t, 0, "import", b.dir .. "/copy", b.dir .. "/text"), "40 queued")
    says(t, tool(t, 0, "check", b.dir .. "/copy"), "healthy")
    for _, on in ipairs { broker_on(t, b.dir .. "/copy"), b } do
      if not on:alive() then on:restart() end
      local c = take(t, on, 21, 60)
      c:subscribe(t.topic .. "/kept", 1)
      c:receive { payload = "kept", retain = true }
      publish(t, on:join(), 61, 61)
      c:receive { payload = "message 61." }
      c:expect_nothing()
      on:check_ledger()
    end
  end)
end

-- Flips a bit of the first file of the log that holds these bytes.
local function damage(t, b, bytes)
  for _, name in ipairs(host.list(store(b))) do
    local path = store(b) .. "/" .. name
    local f = name:find("^log%-") and assert(io.open(path, "r+b"))
    local at = f and f:read("a"):find(bytes, 1, true)
    if at then
      f:seek("set", at - 1)
      f:write(string.char(bytes:byte() ~ 1))
      f:close()
      return
    end
    if f then f:close() end
  end
  t:check(false, "%q is not in the log", bytes)
end

story("a damaged log is not started on, and can be repaired", "MQTT-4.1.0-1/5", function(t)
  local b = t:own_broker()
  leave_session(t, b)
  publish(t, b:join(), 1, 60)
  b:kill()
  damage(t, b, "message 31.")
  b.expected_end = true
  local started = pcall(b.restart, b)
  t:check(not started, "it started on a damaged log")
  b:wait_end()
  t:equal(b.code, 1, "its exit status")
  local deadline = link.deadline() -- an end may be noticed before the last words are read
  while not b.output:find("not started", 1, true) and sched.listen(b.key, deadline) do end
  says(t, b.output, "is damaged at byte")
  says(t, b.output, "skepctl store repair")
  says(t, tool(t, 1, "check", store(b)), "skepctl store repair")
  says(t, tool(t, 1, "repair", store(b)), "no terminal to ask on")
  says(t, tool(t, 0, "repair", store(b), "--yes"), "is repaired")
  says(t, tool(t, 0, "check", store(b)), "healthy")
  b:restart()
  b.expected_end = false
  local c = take(t, b, 1, 30)
  c:expect_nothing()
  publish(t, b:join(), 61, 61)
  c:receive { payload = "message 61." }
  b:check_ledger()
end)
