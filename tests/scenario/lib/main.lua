-- The command line of skep-story, and the run of many files in a few processes.
local broker = require "broker"
local sched = require "sched"
local stories = require "story"

local HELP = [[
skep-story: runs the stories of tests/scenario against the broker

  skep-story [options] [FILE.lua ...]       all files when none is named

  --broker PATH    the binary to test (default: build/*/bin/skep, the newest)
  --filter TEXT    only stories whose name or requirement ids hold TEXT
  --jobs N         files run at once (default 2)
  --serial         one story at a time
  --list           name the stories and stop
  --one            print one line a story; one process (what --jobs starts, and ctest)
  --mosquitto      the binary is a mosquitto: skip what needs Skep's configuration
]]

local function fatal(text)
  io.stderr:write("skep-story: ", text, "\n")
  os.exit(2)
end

local function parse(words)
  local o = { files = {}, jobs = 2 }
  local i = 1
  local function value()
    i = i + 1
    return words[i] or fatal(words[i - 1] .. " needs a value")
  end
  while words[i] do
    local w = words[i]
    if w == "--broker" then o.broker = value()
    elseif w == "--filter" then o.filter = value()
    elseif w == "--jobs" then o.jobs = tonumber(value())
    elseif w == "--serial" then o.serial = true
    elseif w == "--list" then o.list = true
    elseif w == "--one" then o.one = true
    elseif w == "--mosquitto" then o.mosquitto = true
    elseif w == "--help" or w == "-h" then io.write(HELP) os.exit(0)
    elseif w:sub(1, 1) == "-" then fatal("unknown option " .. w .. "; see --help")
    else o.files[#o.files + 1] = w end
    i = i + 1
  end
  return o
end

local function story_files()
  local files = {}
  for _, name in ipairs(host.list(host.root)) do
    if name:match("%.lua$") then files[#files + 1] = host.root .. "/" .. name end
  end
  table.sort(files)
  return files
end

local function newest_broker()
  local top = host.root .. "/../../build"
  for _, preset in ipairs { "check", "dev", "release" } do
    local path = ("%s/%s/bin/skep"):format(top, preset)
    if host.mode(path) then return path end
  end
  fatal("no broker in build/*/bin; build one or name it with --broker")
end

-- Also names the words of ctest: a file's stories, one line each, then the closing line.
local function run_here(o)
  local count = { pass = 0, fail = 0, skip = 0 }
  local function report(s, result, err, seconds)
    count[result] = count[result] + 1
    if result == "pass" then
      io.write(("ok    %5.1fs %s\n"):format(seconds, s.name))
    elseif result == "skip" then
      io.write(("skip         %s: %s\n"):format(s.name, err.text))
    else
      io.write(("FAIL  %s %s\n      %s\n"):format(s.name, s.tags and "[" .. s.tags .. "]" or "",
        tostring(err):gsub("\n", "\n      ")))
    end
    io.flush()
  end
  local function keep(s)
    return not o.filter or s.name:find(o.filter, 1, true) or (s.tags or ""):find(o.filter, 1, true)
  end
  if o.serial then stories.at_once = 1 end
  for _, path in ipairs(o.files) do stories.run(path, keep, report) end
  io.write(("%d passed, %d failed%s\n"):format(count.pass, count.fail,
    count.skip > 0 and (", %d skipped"):format(count.skip) or ""))
  return count.fail == 0 and 0 or 1
end

-- Runs one file in a process of its own; returns its output.
local function run_file(o, path)
  local words = { "/proc/self/exe", "--one", "--broker", o.broker, path }
  for name, value in pairs { filter = o.filter } do
    table.insert(words, "--" .. name)
    table.insert(words, value)
  end
  if o.serial then table.insert(words, "--serial") end
  if o.mosquitto then table.insert(words, "--mosquitto") end
  local proc = assert(host.spawn(words))
  local parts, open = {}, { out = true, err = true }
  while open.out or open.err do
    for name in pairs(open) do
      local bytes, why = proc:read(name)
      if bytes then parts[#parts + 1] = bytes end
      if why == "closed" then open[name] = nil end
    end
    local fd = open.out and proc:pipe("out") or open.err and proc:pipe("err")
    if fd and fd >= 0 then sched.wait(fd, "r", host.now() + 0.5) end
  end
  while not proc:reap() do sched.wait(proc:pidfd(), "r", host.now() + 1) end
  return table.concat(parts)
end

local function absorb(total, path, text)
  local name = path:match("([^/]+)$")
  local passed, failed = text:match("(%d+) passed, (%d+) failed[^\n]*\n$")
  if not passed then
    total.fail = total.fail + 1
    io.write(("FAIL  %s did not finish\n%s\n"):format(name, text))
    return
  end
  total.pass, total.fail = total.pass + passed, total.fail + failed
  io.write(("%-18s %3d passed, %d failed\n"):format(name, passed, failed))
  local showing = false
  for line in text:gmatch("[^\n]+") do
    showing = line:find("^FAIL") or (showing and line:find("^ "))
    if showing then io.write(line, "\n") end
  end
  io.flush()
end

local function run_processes(o)
  local total, next_one = { pass = 0, fail = 0 }, 1
  for _ = 1, o.jobs do
    sched.start(function()
      while o.files[next_one] do
        local path = o.files[next_one]
        next_one = next_one + 1
        absorb(total, path, run_file(o, path))
      end
    end)
  end
  local began = host.now()
  sched.run()
  io.write(("scenario: %d passed, %d failed in %.0f s\n"):format(total.pass, total.fail,
    host.now() - began))
  return total.fail == 0 and 0 or 1
end

local function list(o)
  for _, path in ipairs(o.files) do
    for _, s in ipairs(stories.load(path)) do
      io.write(("%-14s %s [%s]\n"):format(path:match("([^/]+)%.lua$"), s.name, s.tags))
    end
  end
  return 0
end

local o = parse { select(2, ...) }
-- a bare name means a file of this folder
for i, path in ipairs(o.files) do
  if not path:find("/", 1, true) then
    o.files[i] = host.root .. "/" .. path:gsub("%.lua$", "") .. ".lua"
  end
end
if #o.files == 0 then o.files = story_files() end
if o.list then return list(o) end
o.broker = o.broker or newest_broker()
o.broker = host.real_path(o.broker) or fatal("there is no " .. o.broker)
broker.command, broker.mosquitto = o.broker, o.mosquitto
return o.one and run_here(o) or run_processes(o)
