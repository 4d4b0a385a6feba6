-- Another broker at the other end of a bridge: Debian's mosquitto, a real process with a
-- configuration written by the story.
--
--   local m = peer.mosquitto(t, "persistence false")     started, and ended with the story
--   m.port   m.ports   m.dir   m:kill()  m:stop()  m:restart()  m:wait_log(pattern)  m:count_log(pattern)
--   m:join{...}                                           a client of it, as b:join
--
-- ${port}, ${other}, ... are free ports; without a listener on ${port} it gets one.
local broker = require "broker"
local fail = require "fail"
local link = require "link"
local sched = require "sched"

local peer = {}
peer.__index = peer

local function drain(self, proc, name)
  sched.daemon(function()
    while true do
      local bytes, why = proc:read(name)
      if bytes then
        self.log = self.log .. bytes
        sched.signal(self.dir)
      elseif why == "closed" then
        return
      else
        sched.wait(proc:pipe(name), "r")
      end
    end
  end)
end

local function spawn(self)
  self.how = nil
  local proc, why = host.spawn { "mosquitto", "-c", self.conf, dir = self.dir }
  if not proc then fail.raise("mosquitto: %s", why) end
  self.proc = proc
  drain(self, proc, "out")
  drain(self, proc, "err")
  sched.daemon(function()
    sched.wait(proc:pidfd(), "r")
    self.how, self.code = proc:reap()
    sched.signal(self.dir)
  end)
end

local function answers(self, port, deadline)
  while host.now() < deadline do
    local probe = link.try_open({ port = port }, deadline)
    if probe then
      probe:close()
      return true
    end
    if self.how then return false end
    sched.listen(self.dir, math.min(deadline, host.now() + 0.02))
  end
end

local function wait_listening(self)
  local deadline = link.deadline()
  for _, port in pairs(self.ports) do
    if not answers(self, port, deadline) then
      fail.raise("mosquitto does not listen; its output:\n%s", self.log)
    end
  end
end

-- Chooses ports and writes the files.
local function configure(self)
  self.ports = { port = host.free_port() }
  self.port = self.ports.port
  broker.write_file(self.conf, (self.text:gsub("%${(%w+)}", function(name)
    if name == "dir" then return self.dir end
    self.ports[name] = self.ports[name] or host.free_port()
    return tostring(self.ports[name])
  end)))
end

-- A port that was free a moment ago may be another test's by now: then with others.
local function start(self)
  for attempt = 1, 5 do
    spawn(self)
    local ok, err = pcall(wait_listening, self)
    if ok then return end
    if attempt == 5 or not self.log:find "in use" then error(err, 0) end
    self:kill()
    self.log = ""
    configure(self)
  end
end

-- started = false: only the files and the port; call :restart() when it is to be there.
function peer.mosquitto(t, text, started)
  local self = setmetatable({ dir = host.temp_dir(), log = "", clients = t.clients,
    version = t.version, how = "never started" }, peer)
  text = (text or "persistence false") .. "\n"
  if not text:find("${port}", 1, true) then
    text = "listener ${port} 127.0.0.1\nallow_anonymous true\n" .. text
  end
  self.text = "log_type all\nlog_dest stderr\nuser root\nset_tcp_nodelay true\n"
    .. "max_queued_messages 0\npersistence_location ${dir}/\n" .. text
  self.conf = self.dir .. "/mosquitto.conf"
  configure(self)
  table.insert(t.brokers, self)
  if started ~= false then start(self) end
  return self
end

function peer:alive() return self.how == nil end

function peer:wait_end()
  local deadline = link.deadline()
  while not self.how do
    if not sched.listen(self.dir, deadline) and not self.how then
      fail.raise "mosquitto does not end"
    end
  end
end

function peer:kill()
  if self:alive() then self.proc:kill(9) end
  self:wait_end()
end

-- In order: it writes its state, if it has persistence.
function peer:stop()
  if self:alive() then self.proc:kill(15) end
  self:wait_end()
end

function peer:restart()
  if self:alive() then self:stop() end
  spawn(self)
  wait_listening(self)
end

function peer:remove() host.remove_tree(self.dir) end

function peer:wait_log(pattern, from)
  local deadline = link.deadline()
  while not self.log:find(pattern, from or 1) do
    if not sched.listen(self.dir, deadline) then
      fail.raise("mosquitto did not log %q; its log:\n%s", pattern, self.log:sub(-4000))
    end
  end
end

function peer:count_log(pattern)
  local _, n = self.log:gsub(pattern, "")
  return n
end

function peer:socket(options)
  local o = options or {}
  return broker.socket(self, o)
end

peer.client, peer.join = broker.client, broker.join

return peer
