-- skep-lua replay: recorded traffic through scripts, and what they would make of it.
--
-- A recording has one JSON object a line, as `skepctl record` writes it: topic, payload (or payload_base64), qos,
-- retain, tst; also client, username, and time in seconds, if somebody adds them.
local native = ...

local function base64_decode(text)
  local map, bits, n, out = {}, 0, 0, {}
  for i, c in ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):gmatch("()(.)") do map[c] = i - 1 end
  for c in text:gmatch("[%w+/]") do
    bits, n = bits << 6 | map[c], n + 6
    if n >= 8 then
      n = n - 8
      out[#out + 1] = string.char(bits >> n & 0xff)
      bits = bits & ((1 << n) - 1)
    end
  end
  return table.concat(out)
end

-- Seconds of "2026-11-26T16:32:45.490+0000"; only differences count.
local function seconds(tst)
  local y, mo, d, h, mi, s = tostring(tst):match "^(%d+)%-(%d+)%-(%d+)T(%d+):(%d+):([%d.]+)"
  if not y then return nil end
  return os.time { year = y, month = mo, day = d, hour = h, min = mi, sec = 0 } + tonumber(s)
end

local function show(payload)
  if payload:find("[%c\127-\255]") then return ("(%d bytes)"):format(#payload) end
  return #payload > 200 and payload:sub(1, 200) .. "..." or payload
end

local function one_line(m)
  return ("%s  %s%s%s"):format(m.topic, show(m.payload), m.qos > 0 and "  qos " .. m.qos or "", m.retain and "  retained" or "")
end

local function same(m, out)
  return m.topic == out.topic and m.payload == out.payload and m.qos == out.qos and m.retain == out.retain
end

local Replay = {}
Replay.__index = Replay

function Replay:client(record)
  local id = record.client or "replay"
  local c = self.clients[id]
  if not c then
    c = native.client(self.handle, id, record.username)
    native.connect(c)
    self.clients[id] = c
  end
  return c
end

function Replay:pass_to(time)
  if self.time and time and time > self.time then native.pass(self.handle, time - self.time) end
  self.time = time or self.time
end

function Replay:print_published()
  while true do
    local m = native.published(self.handle, self.seen)
    if not m then return end
    self.seen = self.seen + 1
    self.published = self.published + 1
    self.say("+ " .. one_line(m))
  end
end

function Replay:message(m, client)
  local answer = native.publish(client, m.topic, m.payload, m.qos, m.retain)
  if answer.verdict == "pending" then
    native.pass(self.handle, 60) -- what it waits for does not exist here
    answer = native.verdict(client)
  end
  if answer.verdict == "drop" or answer.verdict == "deny" then
    self.stopped = self.stopped + 1
    self.say(("- %s  %s: %s"):format(one_line(m), answer.verdict == "drop" and "dropped" or "refused", answer.text))
  elseif #answer.messages == 1 and same(m, answer.messages[1]) then
    self.unchanged = self.unchanged + 1
  else
    self.changed = self.changed + 1
    self.say("< " .. one_line(m))
    for _, out in ipairs(answer.messages) do self.say("> " .. one_line(out)) end
  end
end

-- config: the load block's text.  Returns how many lines made no sense.
return function(config, lines, say)
  local r = setmetatable({
    handle = native.open(config), clients = {}, say = say, seen = 0,
    unchanged = 0, changed = 0, stopped = 0, published = 0,
  }, Replay)
  local wrong = 0
  for line in lines do
    local record = native.json(line)
    if type(record) ~= "table" or type(record.topic) ~= "string" then
      wrong = wrong + 1
    else
      r:pass_to(record.time or seconds(record.tst))
      r:print_published()
      r:message({
        topic = record.topic,
        payload = record["payload_base64"] and base64_decode(record["payload_base64"]) or record.payload or "",
        qos = record.qos or 0,
        retain = record.retain == true or record.retain == 1,
      }, r:client(record))
      r:print_published()
    end
  end
  native.close(r.handle)
  say(("%d unchanged, %d changed, %d stopped, %d published by scripts%s"):format(
    r.unchanged, r.changed, r.stopped, r.published, wrong > 0 and (", %d lines made no sense"):format(wrong) or ""))
  return wrong
end
