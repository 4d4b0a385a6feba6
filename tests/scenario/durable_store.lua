-- The store itself: its directory, its modes, what it says, and what never comes near it.
local again = require "again"
local broker = require "broker"
local keep = again.keep

local SMALL = "checkpoint_every 1m;" -- and so are the log's files

local function read_file(path)
  local f = assert(io.open(path, "rb"))
  local bytes = f:read("a")
  f:close()
  return bytes
end

-- The log files of a broker's store, oldest name first.
local function log_files(b)
  local paths = {}
  for _, name in ipairs(host.list(b.dir .. "/data/store")) do
    if name:match("^log%-%d+$") then paths[#paths + 1] = b.dir .. "/data/store/" .. name end
  end
  table.sort(paths)
  return paths
end

-- What stands in them.  A spare file, which the log makes when it has time, holds zeros.
local function log_bytes(b)
  local all = {}
  for _, path in ipairs(log_files(b)) do
    local records = read_file(path):sub(4097):gsub("\0+$", "")
    if #records > 0 then all[#all + 1] = path .. records end
  end
  return table.concat(all)
end

-- Starts it; it must end by itself with status 1, having said this.
local function expect_no_start(t, b, pattern)
  local ok = pcall(b.restart, b)
  t:check(not ok and b:wait_end(), "it started")
  t:equal(b.how .. " " .. b.code, "exit 1", "its end")
  t:check(b.output:find(pattern), "it said: %s", b.output:sub(-600))
end

again.both("store off: nothing is kept and no directory made", "MQTT-3.2.2-3", function(t, restart)
  local b = t:own_broker "store off;"
  local c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  c:publish { topic = t.topic .. "/kept", payload = "x", qos = 2, retain = true }
  c:disconnect()
  c = b:join(keep(t))
  t:check(c.connack.session_present, "it is not kept while the broker runs")
  restart(b)
  c = b:join(keep(t))
  t:check(not c.connack.session_present, "a session out of nothing")
  c:subscribe(t.topic .. "/#", 1)
  c:expect_nothing()
  t:equal(host.mode(b.dir .. "/data/store"), nil, "the directory's mode")
end)

story("store on again after off: what was there before is there", "MQTT-4.1.0-1", function(t)
  local b = t:own_broker()
  b:join():publish { topic = t.topic, payload = "x", qos = 1, retain = true }
  b:restart "store off;"
  b:join():publish { topic = t.topic, payload = "not kept", qos = 1, retain = true }
  b:restart ""
  local c = b:join()
  c:subscribe(t.topic)
  c:receive { payload = "x" }
end)

-- The end of the process loses nothing in any mode.
for _, sync in ipairs { "sync always;", "sync interval 20ms;", "sync interval 1h;",
  "sync none;" } do
  again.both(sync .. " outlives the process", "MQTT-4.1.0-1 MQTT-4.3.2-4/5 MQTT-4.3.3-8/5",
    function(t, restart)
    local b = t:own_broker(sync)
    local c = b:join(keep(t))
    c:subscribe(t.topic, 2)
    local p = b:join()
    for i = 1, 20 do
      p:publish { topic = t.topic, payload = tostring(i), qos = 1 + i % 2, retain = true }
    end
    restart(b)
    c = b:join(keep(t))
    for i = 1, 20 do c:receive { payload = tostring(i), qos = 1 + i % 2 } end
    c:expect_nothing()
    local late = b:join()
    late:subscribe(t.topic)
    late:receive { payload = "20", retain = true }
  end)
end

story("a second broker on the same directory is refused in words, and the first goes on", nil,
  function(t)
  local b = t:own_broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  local port = host.free_port()
  local conf = b.dir .. "/second.conf"
  broker.write_file(conf,
    ("data_dir %s/data;\nlistener mqtt { bind 127.0.0.1:%d; }\n"):format(b.dir, port))
  local proc = assert(host.spawn { broker.command, "-c", conf, dir = b.dir, env = {} })
  local text, sched = "", require "sched"
  while true do
    local bytes, why = proc:read "err"
    text = text .. (bytes or "")
    if why == "closed" then break end
    if not bytes then sched.wait(proc:pipe "err", "r", t:now() + 10) end
  end
  sched.wait(proc:pidfd(), "r", t:now() + 10)
  local how, code = proc:reap()
  t:equal(how .. " " .. tostring(code), "exit 1", "the second broker's end")
  t:check(text:find("not started: [^\n]*data") and text:find "use", "it said: %s", text)
  c:publish { topic = t.topic, payload = "x", qos = 1 }
  c:receive { payload = "x" }
end)

-- Enough of a log that its middle is nowhere near its end.
local function fill(t, b)
  local p = b:join()
  for i = 1, 50 do
    p:publish { topic = t.topic .. "/" .. i, payload = ("x"):rep(2000), qos = 1, retain = true }
  end
end

-- Where a message stands in the log.
local function find_in_log(t, b, text)
  for _, path in ipairs(log_files(b)) do
    local at = read_file(path):find(text, 1, true)
    if at then return path, at - 1 end
  end
  t:check(false, "%s is not in the log", text)
end

local function write_at(path, at, bytes)
  local f = assert(io.open(path, "r+b"))
  f:seek("set", at)
  f:write(bytes)
  f:close()
end

story("a damaged log stops the start with words", nil, function(t)
  local b = t:own_broker(SMALL)
  fill(t, b)
  b:kill()
  local path, at = find_in_log(t, b, t.topic .. "/25")
  write_at(path, at, "#")
  b.expected_end = true
  expect_no_start(t, b, "not started: [^\n]*store[^\n]*log%-%d+[^\n]*damaged")
  write_at(path, at, t.topic:sub(1, 1)) -- mended, it starts with all there was
  b.expected_end = nil
  b:restart()
  local c = b:join()
  c:subscribe(t.topic .. "/#")
  for _ = 1, 50 do c:receive { retain = true } end
end)

story("a damaged checkpoint stops the start with words, sessions taken up or not", nil, function(t)
  local b = t:own_broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 1)
  c:disconnect()
  local p = b:join()
  p:publish { topic = t.topic, payload = "queued", qos = 1 }
  p:publish { topic = t.topic .. "/kept", payload = "the one that is damaged", qos = 1, retain = true }
  b:stop() -- which leaves everything in the checkpoint
  local path = b.dir .. "/data/store/state.mdb"
  local at = read_file(path):find("the one that is damaged", 1, true) - 1
  write_at(path, at, "#")
  b.expected_end = true
  expect_no_start(t, b, "not started: [^\n]*checkpoint cannot be read")
  write_at(path, at, "t")
  b.expected_end = nil
  b:restart()
  b:join(keep(t)):receive { payload = "queued" }
end)

story("a write that was cut off is dropped, and said", nil, function(t)
  local b = t:own_broker(SMALL)
  fill(t, b)
  local p = b:join()
  p:publish { topic = t.topic .. "/last", payload = "x", qos = 1, retain = true }
  b:kill()
  local path, at = find_in_log(t, b, t.topic .. "/last")
  write_at(path, at, "#") -- nothing vouches for the last write
  b:restart()
  t:check(b.output:find "the log ended in a write that was cut off: %d+ bytes", "it said: %s",
    b.output:sub(-900))
  local c = b:join()
  c:subscribe(t.topic .. "/#")
  for _ = 1, 50 do c:receive { retain = true } end
  c:expect_nothing()
  c:publish { topic = t.topic .. "/last", payload = "again", qos = 1, retain = true }
  b:restart()
  c = b:join()
  c:subscribe(t.topic .. "/last")
  c:receive { payload = "again" }
end)

story("store, sync and checkpoint_every need a restart, and a reload says so", nil, function(t)
  local b = t:own_broker "store on; sync always; checkpoint_every 64m;"
  b:reload "store off; sync none; checkpoint_every 1m;"
  b:wait_output "configuration reloaded"
  for _, name in ipairs { "store", "sync", "checkpoint_every" } do
    t:check(b.output:find("needs a restart: [^\n]*" .. name), "%s is not mentioned: %s", name,
      b.output:sub(-900))
  end
  b:join():publish { topic = t.topic, payload = "x", qos = 1, retain = true } -- store is still on
  b:kill()
  b:restart ""
  local c = b:join()
  c:subscribe(t.topic)
  c:receive { payload = "x" }
end)

story.both("what needs no disk never comes near it",
  "MQTT-4.3.2-4/5 MQTT-4.3.3-8/5 MQTT-3.3.1-12/3.1.1", function(t, version)
  local b = t:own_broker(SMALL)
  local before = log_bytes(b)
  local function same(what) t:check(log_bytes(b) == before, "the log changed by %s", what) end
  local c, p = b:join(), b:join { will = { topic = t.topic, payload = "gone", qos = 1 } }
  c:subscribe(t.topic .. "/#", 2)
  c:subscribe("$share/g/" .. t.topic .. "/shared", 1)
  same "clients whose sessions end with them"
  for i = 1, 30 do
    p:publish { topic = t.topic, payload = tostring(i), qos = i % 3 }
    c:receive { payload = tostring(i), qos = i % 3 }
  end
  p:publish { topic = t.topic .. "/nobody", payload = "x", qos = 2 }
  c:receive()
  p:publish { topic = t.topic .. "/shared", payload = "x", qos = 1 }
  c:receive()
  c:receive()
  c:ping()
  same "a conversation at each QoS"
  p:abort()
  c:receive { payload = "gone" }
  c:unsubscribe(t.topic .. "/#")
  c:disconnect()
  same "a will and the end of a session"
  if version == 5 then
    local kept = b:join(keep(t))
    kept:subscribe(t.topic, 0)
    again.fence(kept)
    before = log_bytes(b)
    p = b:join()
    for i = 1, 30 do
      p:publish { topic = t.topic, payload = tostring(i), qos = i % 3 }
      kept:receive { payload = tostring(i), qos = 0 }
    end
    same "QoS 0 for a session that is kept"
  end
  again.fence(b:join())
  t:check(log_bytes(b) ~= before, "this test would not see a change")
end)

story("the ledger counts what was there before", "MQTT-4.5.0-1", function(t)
  local b = t:own_broker()
  local c = b:join(keep(t))
  c:subscribe(t.topic, 2)
  c:disconnect()
  local p = b:join()
  for i = 1, 25 do p:publish { topic = t.topic, payload = tostring(i), qos = 1 + i % 2 } end
  again.crash(b)
  local l = b:control "ledger"
  t:equal(l.routed, 25, "routed")
  t:equal(l.waiting, 25, "waiting")
  c = b:join(keep(t))
  for _ = 1, 25 do c:receive { dup = false } end
  again.fence(c)
  l = b:check_ledger()
  t:equal(l.waiting, 0, "waiting after all were received")
  t:equal(l.delivered_qos1 + l.delivered_qos2, 25, "delivered")
  t:equal(l.redelivered, 0, "of which sent again")
end)

-- Traffic for several checkpoints, each of which takes up where the one before ended.
again.both("checkpoints change nothing of what is there", "MQTT-4.1.0-1 MQTT-4.4.0-1 MQTT-3.3.1-5",
  function(t, restart, version)
  local b = t:own_broker(SMALL)
  local c = b:join(keep(t))
  c:subscribe(t.topic .. "/q/+", 2)
  local away = b:join(keep(t, { id = t.topic .. "away" }))
  away:subscribe(t.topic .. "/q/3", 1)
  away:disconnect()
  local p, open = b:join(), {}
  local filler = ("f"):rep(8000)
  for round = 1, 3 do
    for i = 1, 150 do
      p:publish { topic = t.topic .. "/fill/" .. i % 20, payload = filler .. round, qos = 1,
        retain = true }
      p:publish { topic = t.topic .. "/q/" .. i % 5, payload = ("%d.%d"):format(round, i),
        qos = 1 + i % 2 }
      local got = c:expect { "PUBLISH", payload = ("%d.%d"):format(round, i) }
      if i % 50 == 25 then -- stays open: at QoS 2 in either state
        if round == 2 and got.qos == 2 then
          c:send { "PUBREC", id = got.id }
          c:expect { "PUBREL", id = got.id }
        end
        open[#open + 1] = got
      else
        c:finish(got)
      end
    end
  end
  again.fence(c)
  t:check(#log_files(b) < 12, "%d log files: no checkpoint was made", #log_files(b))
  for _ = 1, 2 do
    restart(b)
    c = b:join(keep(t))
    for _, got in ipairs(open) do
      if got.qos == 2 and got.payload:find "^2" then
        c:expect { "PUBREL", id = got.id }
      else
        c:expect { "PUBLISH", id = got.id, payload = got.payload, qos = got.qos, dup = true }
      end
    end
    c:expect_nothing()
  end
  away = b:join(keep(t, { id = t.topic .. "away" }))
  for round = 1, 3 do
    for i = 3, 150, 5 do away:receive { payload = ("%d.%d"):format(round, i), qos = 1 } end
  end
  away:expect_nothing()
  local late = b:join()
  late:subscribe(t.topic .. "/fill/+")
  for _ = 1, 20 do late:receive { payload = filler .. 3, retain = true } end
end)

-- The broker's store on a disk of that size; fn may ask for another size.
local function on_small_disk(t, b, size, fn)
  local dir = b.dir .. "/data/store"
  local function mount(options)
    return os.execute(("mount -t tmpfs -o %s skep '%s' 2>/dev/null"):format(options, dir))
  end
  if not mount("size=" .. size) then t:skip "mounting a small disk takes root" end
  local ok, err = pcall(fn, function(other) assert(mount("remount,size=" .. other)) end)
  if b:alive() then b:kill() end
  os.execute(("umount -l '%s'"):format(dir))
  if not ok then error(err, 0) end
  b:restart()
end

story("a full disk refuses what must survive and nothing else, until there is room",
  "MQTT-4.3.2-4/5 MQTT-3.3.4-1/5", function(t)
  local b = t:own_broker(SMALL)
  b:stop()
  on_small_disk(t, b, "6m", function(resize)
    b:restart()
    local live = b:join()
    live:subscribe(t.topic .. "/live", 1)
    local filler, acknowledged, sent = b:join(), {}, 0
    while not b.output:find "the disk takes nothing: [^\n]*space" do
      sent = sent + 1
      filler:send { "PUBLISH", topic = t.topic .. "/kept/" .. sent, payload = ("x"):rep(30000),
        qos = 1, id = sent,
        retain = true }
      local got
      repeat got = filler:try_next(0.1) until got or b.output:find "the disk takes nothing"
      if got then
        t:check(got.reason < 0x80, "PUBACK with 0x%02X", got.reason)
        acknowledged[#acknowledged + 1] = sent
      end
      t:check(sent < 1000, "the disk never fills")
    end

    local p = b:join()
    t:equal(p:publish({ topic = t.topic .. "/refused", payload = "x", qos = 1,
      retain = true }).reason, 0x97, "PUBACK")
    t:equal(p:publish({ topic = t.topic .. "/refused", payload = "x", qos = 2,
      retain = true }).reason, 0x97, "PUBREC")
    for qos = 0, 2 do -- what is for the living only goes on
      p:publish { topic = t.topic .. "/live", payload = "x", qos = qos }
      live:receive { payload = "x", qos = math.min(qos, 1) }
    end
    b:client(keep(t)):expect_refused { 0x88, 0x97 }
    t:check(b:alive(), "the broker ended")

    resize "64m"
    b:wait_output "the disk works again"
    for id = #acknowledged + 1, sent do -- what waited, or was refused behind it
      local ack = filler:await { "PUBACK", id = id }
      if ack.reason < 0x80 then acknowledged[#acknowledged + 1] = id end
    end
    p:publish { topic = t.topic .. "/after", payload = "x", qos = 1, retain = true }
    b:join(keep(t)):subscribe(t.topic .. "/live", 1)
    again.crash(b)
    t:check(b:join(keep(t)).connack.session_present, "the session is gone")
    local late, seen = b:join(), {}
    late:subscribe(t.topic .. "/#")
    for _ = 1, #acknowledged + 1 do seen[late:receive({ retain = true }).topic] = true end
    late:expect_nothing()
    for _, i in ipairs(acknowledged) do
      t:check(seen[t.topic .. "/kept/" .. i], "message %d is gone", i)
    end
    t:check(seen[t.topic .. "/after"], "what came after is gone")
  end)
end, { alone = true })

-- The tables are mapped, and what was read of them counts as resident until the system wants it back.
story("a queue that is read from the disk is no memory that the ceiling knows", "MQTT-4.1.0-1",
  function(t)
    local MESSAGES, SIZE = 200, 500000
    local conf = "limits { max_queue_bytes 1g; queue_memory_messages 1; max_inflight 2; } "
    local b = t:own_broker(conf, { lean = true })
    local c = b:join(keep(t))
    c:subscribe(t.topic, 1)
    c:disconnect()
    local p = b:join { version = 4 }
    for _ = 1, MESSAGES do p:publish { topic = t.topic, payload = ("x"):rep(SIZE), qos = 1 } end
    b:restart() -- everything is in the tables, and little of it in memory
    local limit = b:rss() + MESSAGES * SIZE // 1024 // 2
    b:restart(conf .. ("memory_limit %dk;"):format(limit))
    c = b:join(keep(t))
    for _ = 1, MESSAGES do c:finish(c:await { "PUBLISH" }) end
    t:check(b:rss() > limit, "the tables are not resident: %d KB of %d", b:rss(), limit)
    -- a publisher is still read from, two ticks later too
    local deadline = t:now() + 0.6
    p = b:join { version = 4 }
    repeat p:publish { topic = "x", payload = "x", qos = 1 } until t:now() > deadline
    t:check(not b.output:find "memory above the limit", "it said: %s", b.output:sub(-400))
  end, { alone = true })
