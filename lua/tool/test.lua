-- `require "test"`: what test files of scripts use.  See docs/lua/testing.md.
local native = ...
local test = {}

local cases = {} -- in order: { name, function }
local prefix = {}

function test.describe(name, fn)
  prefix[#prefix + 1] = name
  fn()
  prefix[#prefix] = nil
end

function test.it(name, fn)
  local parts = { table.unpack(prefix) }
  parts[#parts + 1] = name
  cases[#cases + 1] = { name = table.concat(parts, ": "), fn = fn }
end

-- -- Assertions --

local function show(value, depth)
  if type(value) == "string" then return ("%q"):format(value):gsub("\\\n", "\\n") .. "" end
  if type(value) ~= "table" or depth > 4 then return tostring(value) end
  local keys, out = {}, {}
  for k in pairs(value) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, k in ipairs(keys) do out[#out + 1] = ("[%s] = %s"):format(show(k, depth + 1), show(value[k], depth + 1)) end
  return "{ " .. table.concat(out, ", ") .. " }"
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for k, v in pairs(a) do
    if not same(v, b[k]) then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  return true
end

function test.equal(got, expected)
  if got ~= expected then error(("expected %s, got %s"):format(show(expected, 0), show(got, 0)), 2) end
end

function test.same(got, expected)
  if not same(got, expected) then error(("expected %s, got %s"):format(show(expected, 0), show(got, 0)), 2) end
end

function test.truthy(value, text)
  if not value then error(text or "expected something true", 2) end
end

-- fn has to raise an error that contains `text`.
function test.fails(fn, text)
  local ok, why = pcall(fn)
  if ok then error("expected an error", 2) end
  if text and not tostring(why):find(text, 1, true) then
    error(("expected an error with %q, got: %s"):format(text, tostring(why)), 2)
  end
end

test.json = native.json

-- -- The broker, its clients --

local Broker, Client = {}, {}
Broker.__index, Client.__index = Broker, Client
local open -- the broker of the test that runs

local function option_lines(options)
  local names, lines = {}, {}
  for name in pairs(options or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    lines[#lines + 1] = ("option %s %s;"):format(native.quote(name), native.quote(tostring(options[name])))
  end
  return table.concat(lines, " ")
end

-- { script = "a.lua" or a list, option = { name = value }, config = "further directives" }
function test.broker(conf)
  local scripts = type(conf.script) == "table" and conf.script or { conf.script }
  local words = {}
  for i, s in ipairs(scripts) do words[i] = native.quote(s:sub(1, 1) == "/" and s or test.directory .. "/" .. s) end
  if open then open:close() end
  local text = ("script %s; %s %s"):format(table.concat(words, " "), option_lines(conf.option), conf.config or "")
  local b = setmetatable({ handle = native.open(text), seen = 0, clients = 0 }, Broker)
  open = b
  return b
end

function Broker:close()
  if open == self then open = nil end
  local handle = self.handle
  self.handle = nil
  if handle then native.close(handle) end
end

function Broker:pass(seconds) native.pass(self.handle, seconds) end
function Broker:log() return native.log(self.handle) end
function Broker:http(url, status, body, delay) native.http(self.handle, url, status, body or "", delay or 0) end
function Broker:http_count() return native.http_count(self.handle) end
function Broker:command(words) return native.command(self.handle, words) end

-- What scripts published since the last time this was asked.
function Broker:published()
  local list = {}
  while true do
    local m = native.published(self.handle, self.seen)
    if not m then return list end
    self.seen = self.seen + 1
    list[#list + 1] = m
  end
end

-- A client that is not connected yet: the answer to its CONNECT, { verdict, reason, text, client }.
function Broker:connect(conf)
  conf = conf or {}
  self.clients = self.clients + 1
  local id = conf.id or ("client-" .. self.clients)
  local c = setmetatable({ broker = self, handle = native.client(self.handle, id, conf.username, conf.password, conf.address) },
    Client)
  local answer = native.connect(c.handle)
  answer.client = c
  return answer
end

-- A client that is connected.
function Broker:client(conf)
  local answer = self:connect(conf)
  if answer.verdict == "deny" then error("the client was refused: " .. answer.text, 2) end
  return answer.client
end

function Client:publish(m)
  return native.publish(self.handle, m.topic, m.payload or "", m.qos or 0, m.retain or false)
end
function Client:subscribe(filter, qos) return native.subscribe(self.handle, filter, qos or 0) end
function Client:deliver(m) return native.deliver(self.handle, m.topic, m.payload or "", m.qos or 0, m.retain or false) end
function Client:verdict() return native.verdict(self.handle) end
function Client:leave() native.leave(self.handle) end

-- -- Running --

function test.run(report)
  local failed = 0
  for _, case in ipairs(cases) do
    local ok, why = xpcall(case.fn, function(e) return debug.traceback(tostring(e), 2) end)
    if open then
      local closed, left = pcall(open.close, open)
      if ok and not closed then ok, why = false, left end
    end
    if not ok then failed = failed + 1 end
    report(case.name, ok, why)
  end
  return #cases, failed
end

return test
