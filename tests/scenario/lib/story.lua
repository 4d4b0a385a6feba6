-- Stories: registration, the object `t` a story works with, and the run of one file.
--
--   story("name", "MQTT-3.1.4-2/5", function(t) ... end)
--   story.both("name", "MQTT-3.1.0-1", function(t, version) ... end)    3.1.1, then 5
--   story.all("name", ids, function(t, version) ... end)                3.1, 3.1.1 and 5
--
-- Tags are requirement ids; /3.1.1 or /5 says which version's rule of that name, no suffix both.
-- A table after the function holds options: alone = true (no other story runs meanwhile).
local broker = require "broker"
local certs = require "certs"
local fail = require "fail"
local link = require "link"
local sched = require "sched"

local stories = { list = {}, at_once = 8 }

local labels = { [3] = "3.1", [4] = "3.1.1", [5] = "5" }

local function register(name, tags, fn, options, version)
  local shown = version and ("%s (%s)"):format(name, labels[version]) or name
  table.insert(stories.list, {
    name = shown, tags = tags, fn = fn, version = version, options = options or {},
  })
end

local function versions(list)
  return function(name, tags, fn, options)
    for _, v in ipairs(list) do register(name, tags, fn, options, v) end
  end
end

story = setmetatable({ both = versions { 4, 5 }, all = versions { 3, 4, 5 } }, {
  __call = function(_, ...) register(...) end,
})

-- Brokers shared by the stories of this file, by configuration.
local shared = {}

-- t: one story's helpers
local T = {}
T.__index = T

local function shared_broker(text)
  local entry = shared[text]
  if entry and entry.starting then
    sched.listen(entry, link.deadline())
  end
  if entry and entry.process and entry.process:alive() then return entry.process end
  entry = { starting = true }
  shared[text] = entry
  local ok, result = pcall(broker.start, text)
  entry.starting, entry.process = nil, ok and result or nil
  sched.signal(entry)
  if not ok then error(result, 0) end
  return entry.process
end

-- The story's view of a broker: its version is the default of clients, which are closed at the end.
local function view(t, process)
  table.insert(t.used, process)
  return setmetatable({ clients = t.clients, version = t.version }, {
    __index = process,
    __newindex = process,
  })
end

-- A broker with this configuration, shared with other stories of the file that ask for the same.
function T:broker(text)
  text = text or ""
  if broker.mosquitto and text ~= "" then fail.skip("needs Skep's configuration") end
  return view(self, shared_broker(text))
end

-- A broker for this story alone, free to be stopped, killed, reloaded.
function T:own_broker(text, options)
  text = text or ""
  if broker.mosquitto and text ~= "" then fail.skip("needs Skep's configuration") end
  local process = broker.start(text, options)
  table.insert(self.brokers, process)
  return view(self, process)
end

-- The directory with certificates; see certs.lua.
function T:certs() return certs.dir() end

-- A topic prefix, and client ids, that no other story uses.
function T:name(suffix) return ("s%d%s"):format(self.number, suffix or "") end

function T:check(condition, text, ...)
  if not condition then fail.raise(text or "not true", ...) end
  return condition
end

function T:equal(got, want, what)
  if got ~= want then
    fail.raise("%s is %s and should be %s", what or "the value", tostring(got), tostring(want))
  end
end

-- Time has to pass: for what the protocol itself measures in seconds, never to wait for something.
function T:pass(seconds) sched.until_time(host.now() + seconds) end
function T:now() return host.now() end
function T:skip(why) fail.skip(why) end

local function finish(t)
  for _, c in ipairs(t.clients) do c:close() end
  for _, b in ipairs(t.brokers) do
    local ok, err = pcall(b.stop, b)
    if b:alive() then b:kill() end
    b:remove()
    if not ok then error(err, 0) end
  end
end

local function explain(err)
  if fail.is(err) then return err end
  return debug.traceback(tostring(err), 2)
end

-- A failure may be a broker's end seen from afar: then it says so.
local function with_ends(t, err)
  for _, process in ipairs(t.used) do
    sched.until_time(host.now() + 0.05) -- let an end be noticed
    if process.how and not (process.how == "exit" and process.code == 0) then
      return tostring(err) .. "\n" .. process:describe_end()
    end
  end
  return err
end

local function run_one(s, number, report)
  local t = setmetatable({ number = number, version = s.version, clients = {}, brokers = {},
    used = {} }, T)
  t.topic = t:name()
  local began = host.now()
  local ok, err = xpcall(s.fn, explain, t, s.version)
  if not ok and not (fail.is(err) and err.skip) then err = with_ends(t, err) end
  local clean, trouble = xpcall(finish, explain, t)
  if ok and not clean then ok, err = clean, trouble end
  local skipped = not ok and fail.is(err) and err.skip
  report(s, skipped and "skip" or ok and "pass" or "fail", err, host.now() - began)
end

local function run_together(list, limit, report)
  local next_one, done = 1, 0
  local function worker()
    while list[next_one] do
      local s = list[next_one]
      next_one = next_one + 1
      run_one(s, s.number, report)
      done = done + 1
    end
  end
  for _ = 1, limit do sched.start(worker) end
  sched.run()
end

local function stop_shared(report)
  sched.start(function()
    for _, entry in pairs(shared) do
      if entry.process then
        local ok, err = xpcall(function()
          if entry.process:alive() and not broker.mosquitto then entry.process:check_ledger() end
          entry.process:stop()
        end, explain)
        entry.process:remove()
        if not ok then report({ name = "the broker ends well" }, "fail", err, 0) end
      end
    end
  end)
  sched.run()
end

function stories.load(path)
  stories.list, shared = {}, {}
  local chunk = assert(loadfile(path))
  chunk()
  for i, s in ipairs(stories.list) do s.number = i end
  return stories.list
end

-- Runs the stories of one file for which keep(story) holds.
function stories.run(path, keep, report)
  local crowd, alone = {}, {}
  for _, s in ipairs(stories.load(path)) do
    if keep(s) then table.insert(s.options.alone and alone or crowd, s) end
  end
  run_together(crowd, stories.at_once, report)
  run_together(alone, 1, report)
  stop_shared(report)
  certs.remove()
end

return stories
