-- The broker under test: the real binary in a directory of its own, on free ports.
--
-- In its configuration ${port}, ${NAME_port} and ${dir} stand for a free port, further free ports
-- and
-- the directory; without a `listener` it gets one for MQTT over TCP on 127.0.0.1:${port}.
local client = require "client"
local fail = require "fail"
local link = require "link"
local sched = require "sched"

local broker = {}
broker.__index = broker

-- Set by main.lua: the binary, and whether it speaks mosquitto's configuration instead of ours.
broker.command = nil
broker.mosquitto = false

-- What the binary was built with: "thread", "address" or "none".
function broker.sanitizer()
  local f = assert(io.open(broker.command, "rb"))
  local code = f:read("a")
  f:close()
  return code:find("__tsan_init", 1, true) and "thread"
    or code:find("__asan_init", 1, true) and "address" or "none"
end

local SIGNALS = { HUP = 1, INT = 2, KILL = 9, USR1 = 10, TERM = 15 }

function broker.write_file(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

local function expand(self, text)
  return (text:gsub("%${([%w_]+)}", function(name)
    if name == "dir" then return self.dir end
    self.ports[name] = self.ports[name] or host.free_port()
    return tostring(self.ports[name])
  end))
end

-- The file Skep reads.
local function configure(self, text)
  if not text:find("%f[%w]threads%f[%W]") then text = "threads 2;\n" .. text end
  text = text .. "\n"
  if not text:find("%f[%w]listener%f[%W]") then
    text = text .. "listener mqtt { bind 127.0.0.1:${port}; }\n"
  end
  return expand(self, "data_dir ${dir}/data;\n" .. text)
end

-- For comparing with a peer: its defaults, opened as far as the stories need.
local function configure_mosquitto(self)
  self.ports.port = host.free_port()
  return ("listener %d 127.0.0.1\nallow_anonymous true\npersistence false\n"):format(self.ports.port)
    .. "max_topic_alias 10\nuser nobody\nlog_type error\nset_tcp_nodelay true\n"
end

-- Collects what the process prints, so that it never blocks on a full pipe.
local function drain(self, proc, name)
  sched.daemon(function()
    while true do
      local bytes, why = proc:read(name)
      if bytes then
        self.output = self.output .. bytes
        sched.signal(self.key)
      elseif why == "closed" then
        return
      else
        sched.wait(proc:pipe(name), "r")
      end
    end
  end)
end

local function watch(self, proc)
  sched.daemon(function()
    sched.wait(proc:pidfd(), "r")
    self.how, self.code = proc:reap()
    sched.signal(self.key)
  end)
end

local function spawn(self)
  self.how, self.code = nil, nil
  local words = { broker.command, "-c", self.conf, dir = self.dir, files = self.files }
  words.env = {
    UBSAN_OPTIONS = os.getenv("UBSAN_OPTIONS") or "print_stacktrace=1",
    ASAN_OPTIONS = os.getenv("ASAN_OPTIONS") or "detect_leaks=1",
  }
  if self.lean then
    words.env.ASAN_OPTIONS = words.env.ASAN_OPTIONS
      .. ":quarantine_size_mb=0:thread_local_quarantine_size_kb=0"
  end
  local more = type(self.env) == "function" and self.env(self) or self.env
  for name, value in pairs(more or {}) do words.env[name] = value end
  local proc, why = host.spawn(words)
  if not proc then fail.raise("%s: %s", broker.command, why) end
  self.proc = proc
  drain(self, proc, "out")
  drain(self, proc, "err")
  watch(self, proc)
end

-- The telling part of an output: from a sanitizer's report on, or the end.
local function tail(text, count)
  local report = text:find("==%d+==ERROR") or text:find("WARNING: ThreadSanitizer", 1, true)
    or text:find("runtime error:", 1, true)
  if report then return text:sub(math.max(1, report - 200), report + count) end
  return #text > count and "..." .. text:sub(-count) or text
end

function broker:describe_end()
  return ("the broker ended (%s %s); its output:\n%s"):format(self.how, self.code,
    tail(self.output, 4000))
end

-- Every place the configuration binds.
local function places(self)
  local list = {}
  for _, port in pairs(self.ports) do list[#list + 1] = { port = port } end
  for path in expand(self,
    self.text):gmatch("unix:([^%s;]+)") do list[#list + 1] = { path = path } end
  return list
end

-- Connects until this place answers; a broker that ends first has its output shown.
function broker:wait_listening(where)
  local deadline = link.deadline()
  while host.now() < deadline do
    local probe = link.try_open(where, deadline)
    if probe then
      probe:close()
      return
    end
    if self.how then fail.raise("%s", self:describe_end()) end
    sched.listen(self.key, math.min(deadline, host.now() + 0.02))
  end
  fail.raise("the broker does not listen; its output:\n%s", tail(self.output, 4000))
end

-- The control socket is this broker's alone; a port may be answered by somebody else who was faster.
local function wait_started(self)
  if not broker.mosquitto then
    self:wait_listening { path = self.dir .. "/data/control.sock" }
    self:control "version"
  end
  for _, where in ipairs(places(self)) do self:wait_listening(where) end
end

-- options: files (descriptor limit), env (more environment, or a
-- function of the broker that gives it), base (where its directory is made), prepare (called with the
-- broker before its first start), lean = true (its memory will be measured: a sanitizer holds
-- no freed memory back)
function broker.start(text, options)
  local base = options and options.base
  local self = setmetatable({ dir = host.temp_dir(base), ports = {}, output = "" }, broker)
  self.key = self.dir -- what waiters listen to; a story holds a view, not this table
  for k, v in pairs(options or {}) do self[k] = v end
  self.conf = self.dir .. "/skep.conf"
  self.text = text
  if self.prepare then self:prepare() end
  for attempt = 1, 5 do
    self.ports, self.output = {}, ""
    broker.write_file(self.conf, broker.mosquitto and configure_mosquitto(self)
      or configure(self, text))
    spawn(self)
    local ok, err = pcall(wait_started, self)
    if ok then break end
    -- a port that was free a moment ago may be another test's by now
    local taken = self:wait_end(1) and self.output:find("in use", 1, true)
    if not taken or attempt == 5 then
      if not self.how then self:kill() end
      self:remove()
      error(err, 0)
    end
  end
  return self
end

function broker:where() return { port = self.ports.port } end
function broker:alive() return self.how == nil end
function broker:signal(name) self.proc:kill(SIGNALS[name]) end

-- Waits for the process to end; returns "exit" or "signal", and the number.
function broker:wait_end(seconds)
  local deadline = link.deadline(seconds)
  while not self.how do
    if not sched.listen(self.key, deadline) and not self.how then return nil end
  end
  return self.how, self.code
end

-- Asks over the control socket, a command's name or a whole request; the answer as it came.
function broker:ask(command)
  local socket = link.open { path = self.dir .. "/data/control.sock" }
  socket:send(command:sub(1, 1) == "{" and command .. "\n" or ('{"cmd":"%s"}\n'):format(command))
  local text = ""
  while not text:find("\n", 1, true) do
    local bytes, why = socket:recv(link.deadline())
    if not bytes then fail.raise("%s over the control socket: %s", command, why) end
    text = text .. bytes
  end
  socket:close()
  return text
end

-- The same; the numbers of the answer by name.
function broker:control(command)
  local numbers, text = {}, self:ask(command)
  for name, value in text:gmatch('"([%w_]+)":(%d+)') do numbers[name] = tonumber(value) end
  return numbers
end

-- A sum of counters whose names begin so.
function broker.sum(ledger, prefix)
  local total = 0
  for name, value in pairs(ledger) do
    if name:sub(1, #prefix) == prefix then total = total + value end
  end
  return total
end

-- The two accounts of the ledger balance; returns it.
function broker:check_ledger()
  local l = self:control "ledger"
  local received, refused = broker.sum(l, "received_qos"), broker.sum(l, "refused_")
  if received ~= refused + l.accepted then
    fail.raise("ledger: %d received, but %d refused and %d accepted", received, refused, l.accepted)
  end
  local delivered, dropped = broker.sum(l, "delivered_qos"), broker.sum(l, "dropped_")
  if l.routed < delivered + dropped then
    fail.raise("ledger: %d routed, but %d delivered and %d dropped", l.routed, delivered, dropped)
  end
  return l
end

-- SIGTERM, then exit status 0 within ten seconds, or the story fails.
function broker:stop()
  if not self.how then
    self:signal "TERM"
    if not self:wait_end() then
      self:signal "KILL"
      self:wait_end()
      fail.raise("the broker was still there %d s after SIGTERM; its output:\n%s", link.patience,
        tail(self.output, 4000))
    end
  end
  if self.expected_end then return end
  if self.how ~= "exit" or self.code ~= 0 then fail.raise("%s", self:describe_end()) end
end

function broker:remove() host.remove_tree(self.dir) end

-- Ends it without a word, as a crash does.
function broker:kill()
  self:signal "KILL"
  self:wait_end()
end

-- Starts again with the same directory and ports, maybe with another configuration.
function broker:restart(text)
  if not self.how then self:stop() end
  if text then
    self.text = text
    broker.write_file(self.conf, configure(self, text))
  end
  spawn(self)
  wait_started(self)
end

-- Rewrites the configuration and asks for a reload.
function broker:reload(text)
  broker.write_file(self.conf, configure(self, text))
  self:signal "HUP"
end

-- Waits until the output holds a Lua pattern; returns the match.
function broker:wait_output(pattern, seconds)
  local deadline = link.deadline(seconds)
  while not self.output:find(pattern) do
    if self.how or not sched.listen(self.key, deadline) then
      fail.raise("the broker did not print %q; its output:\n%s", pattern, tail(self.output, 4000))
    end
  end
  return self.output:match(pattern)
end

-- Resident memory in KB.
function broker:rss()
  for line in io.lines(("/proc/%d/status"):format(self.proc:pid())) do
    local kb = line:match("^VmRSS:%s*(%d+)")
    if kb then return tonumber(kb) end
  end
end

-- Processor time used, in seconds.
function broker:cpu()
  local f = assert(io.open(("/proc/%d/stat"):format(self.proc:pid())))
  local fields = f:read("a"):match("%) (.*)")
  f:close()
  local n, ticks = 0, 0
  for value in fields:gmatch("%S+") do
    n = n + 1
    if n == 12 or n == 13 then ticks = ticks + tonumber(value) end
  end
  return ticks / 100
end

function broker:fd_count() return #host.list(("/proc/%d/fd"):format(self.proc:pid())) end

-- A connection without CONNECT.  options: version, where, tls, ws, path, narrow, and for rules: a
-- CONNECT that will be sent by hand.
function broker:socket(options)
  local o = options or {}
  local where = o.where or { port = o.port or self.ports.port, host = o.host }
  if o.path then where = { path = o.path } end
  where.tls, where.ws, where.narrow = o.tls, o.ws, o.narrow
  local c = client.open(where, o, o.version or self.version or 5)
  table.insert(self.clients or {}, c)
  return c
end

local serial = 0

-- A connection with its CONNECT sent; what comes back is the story's business.
function broker:client(options)
  local o = options or {}
  if o.id == nil then
    serial = serial + 1
    o.id = "auto" .. serial
  end
  o.version = o.version or self.version or 5
  local c = self:socket(o)
  o[1] = "CONNECT"
  c:send(o)
  return c
end

-- An accepted client; its CONNACK is in .connack.
function broker:join(options)
  local c = self:client(options)
  c.connack = c:expect { "CONNACK", reason = 0 }
  return c
end

return broker
