-- A programmable HTTP(S) server beside the broker; see backend.py.
--
--   local h = backend.start(t)                         h.url is http://127.0.0.1:PORT
--   h:answers { ["/auth"] = { body = { result = "allow" } } }
--   h:requests()                                       what it was asked so far, as tables
--   h:wait_requests(3)                                 until it was asked so often
--   h:kill()  h:revive()                               gone, and back at the same port
local fail = require "fail"
local link = require "link"
local sched = require "sched"

local backend = {}
backend.__index = backend

local SCRIPT = host.root .. "/lib/backend.py"

local function quote(text)
  return '"' .. text:gsub('[%c"\\\x7f-\xff]', function(c)
    return c:byte() < 128 and ("\\u%04x"):format(c:byte()) or c
  end) .. '"'
end

-- Tables with [1] are lists.
function backend.json(value)
  if type(value) == "string" then return quote(value) end
  if type(value) ~= "table" then return tostring(value) end
  local out = {}
  if value[1] ~= nil then
    for _, item in ipairs(value) do out[#out + 1] = backend.json(item) end
    return "[" .. table.concat(out, ",") .. "]"
  end
  for k, v in pairs(value) do out[#out + 1] = quote(k) .. ":" .. backend.json(v) end
  return "{" .. table.concat(out, ",") .. "}"
end

local function read_line(proc)
  local text, deadline = "", link.deadline(30)
  while not text:find("\n", 1, true) do
    local bytes, why = proc:read("out")
    if bytes then text = text .. bytes
    elseif why == "closed" then
      fail.raise("the backend did not start: %s", proc:read("err") or "")
    elseif not sched.wait(proc:pipe("out"), "r", deadline) then
      fail.raise("the backend did not start")
    end
  end
  return text
end

local function spawn(self, port)
  local words = { "/usr/bin/python3", SCRIPT, self.dir, tostring(port or 0) }
  table.move(self.tls or {}, 1, 3, 5, words)
  self.proc = assert(host.spawn(words))
  self.port = tonumber(read_line(self.proc))
  self.url = ("%s://127.0.0.1:%d"):format(self.tls and "https" or "http", self.port)
end

-- options: tls = { certificate, key, authority of clients }.  It goes when the story ends.
function backend.start(t, options)
  local self = setmetatable({ dir = host.temp_dir(), tls = options and options.tls }, backend)
  spawn(self)
  table.insert(t.clients, self) -- closed with them
  return self
end

-- By path; bodies that are tables are sent as JSON.
function backend:answers(rules)
  local function body_text(rule)
    local copy = {}
    for k, v in pairs(rule) do copy[k] = v end
    if type(copy.body) == "table" then copy.body = backend.json(copy.body) end
    for name, case in pairs(copy.cases or {}) do
      if type(case.body) == "table" then
        copy.cases[name] = body_text(case)
      end
    end
    return copy
  end
  local all = {}
  for path, rule in pairs(rules) do all[path] = body_text(rule) end
  local f = assert(io.open(self.dir .. "/new", "w"))
  f:write(backend.json(all))
  f:close()
  assert(os.rename(self.dir .. "/new", self.dir .. "/answers.json"))
  return self
end

function backend:requests()
  local list = {}
  local f = io.open(self.dir .. "/log", "r")
  if not f then return list end
  local text = f:read("a")
  f:close()
  for line in text:gmatch("([^\n]*)\n") do list[#list + 1] = assert(load(line))() end
  return list
end

function backend:wait_requests(count, seconds)
  local deadline = link.deadline(seconds)
  while true do
    local list = self:requests()
    if #list >= count then return list end
    if host.now() > deadline then
      fail.raise("the backend was asked %d times and should be %d times", #list, count)
    end
    sched.until_time(host.now() + 0.01)
  end
end

function backend:kill()
  if not self.proc then return end
  self.proc:kill(9)
  sched.wait(self.proc:pidfd(), "r", link.deadline())
  self.proc:reap()
  self.proc = nil
end

function backend:revive() spawn(self, self.port) end

function backend:close()
  if self.dir then
    pcall(self.kill, self)
    host.remove_tree(self.dir)
    self.dir = nil
  end
end

return backend
