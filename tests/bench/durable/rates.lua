-- QoS 1 into the queue of a client that is away: messages acknowledged a second, what one costs the
-- broker, how many share a sync, and how far that is from the bare loop on the same disk.
local brokers = require "brokers"
local order = require "order"
local page = require "page"
local run = require "run"
local shared = require "shared"
local trace = require "trace"
local traced = require "traced"
local M = {}

local SYNCS = "fdatasync,fsync,msync"
local names = { "mosquitto", "rabbitmq", "skep" }

local function rows(quick)
  local list = {}
  local function add(size, window, publishers)
    list[#list + 1] = { size = size, window = window, publishers = publishers,
      id = ("s%d-w%d-p%d"):format(size, window, publishers),
      title = ("%s, window %d, %d publisher%s"):format(size == 64 and "64 B" or "1 KB", window, publishers,
        publishers == 1 and "" or "s") }
  end
  if quick then
    add(64, 1, 1) add(64, 1, 100) add(64, 50, 100) add(1024, 50, 100)
    return list
  end
  for _, size in ipairs { 64, 1024 } do
    for _, window in ipairs { 1, 50, 1000 } do
      for _, publishers in ipairs { 1, 10, 100 } do add(size, window, publishers) end
    end
  end
  return list
end

-- mosquitto saves everything it has for each message that comes or goes: to drain it would take
-- minutes, so what it keeps is not looked at.
local function arguments(row, name, time)
  return ("offline -s %d -w %d --publishers %d %s%s"):format(row.size, row.window, row.publishers, time,
    name == "mosquitto" and " --keep" or "")
end

local function measure(row, name, option)
  local broker = shared.broker(name)
  local result, why = run.bench(row.id, broker, arguments(row, name,
    ("-t %g --warmup %g"):format(option.seconds, option.seconds / 8)))
  shared.done(broker)
  if not result then page.fail(row.id .. ", " .. name, why) end
  return result
end

-- Messages and syncs of a run of its own.
local function count(row, name)
  local result, why = traced.run(row.id .. "/syncs", name, "-c -e trace=" .. SYNCS,
    arguments(row, name, "-t 0.5 --warmup 0") .. (name == "skep" and " --keep" or ""))
  if not result then
    page.fail(row.id .. "/syncs, " .. name, why)
    return nil
  end
  return result.published, trace.count(io.lines(traced.file))
end

local function put(map, name, value)
  map[name] = map[name] or {}
  if value then table.insert(map[name], value) end
end

local function rates(row, option, bytes, values)
  local turns = {}
  for _, name in ipairs(names) do
    if option.peer(name) then turns[#turns + 1] = name end
  end
  if row.publishers == 100 then
    if bytes then turns[#turns + 1] = "loop" end
    if brokers.stored and option.peer "skep" then turns[#turns + 1] = "skep-off" end
  end
  for round = 1, option.rounds do
    for i = 1, #turns do
      local name = turns[(i + round - 2) % #turns + 1]
      if name == "loop" then
        local r = run.loop(row.id, bytes + row.size - 64, row.window * row.publishers, option.seconds)
        put(values.rate, "loop", r and r.messages_per_second)
      else
        local r = measure(row, name, option) or {}
        put(values.rate, name, r.acknowledged_per_second)
        put(values.cpu, name, r.cpu_us)
        put(values.own, name, r.own_cpu_us)
      end
    end
  end
end

-- What the loop does with as many messages for each sync as Skep had.
local function own_batch(row, option, bytes, batch)
  batch = math.max(math.floor(batch), 1)
  local r = run.loop(row.id, bytes + row.size - 64, batch, option.seconds)
  return r and ("loop with %d a sync %s/s"):format(batch, page.number(r.messages_per_second))
end

local function generator_note(own)
  local parts = {}
  for _, name in ipairs(names) do
    if own[name] and #own[name] > 0 then parts[#parts + 1] = page.number(page.median(own[name])) end
  end
  return "generator " .. table.concat(parts, ", ")
end

local function report(row, values, per_sync, notes)
  local loop, off = page.median(values.rate.loop), page.median(values.rate["skep-off"])
  local ours = page.median(values.rate.skep)
  -- The disk alone, and the traffic alone: one after the other they would take this long.
  local both = loop and off and ours and 1 / ours / (1 / loop + 1 / off)
  page.line { id = row.id, title = row.title, unit = "/s", better = "more", values = values.rate,
    notes = { loop and "bare loop " .. page.number(loop) .. "/s", off and "store off " .. page.number(off) .. "/s",
      both and ("time of both together x %.2f"):format(both) },
    targets = { { "loop", "skep", most = 1.5 } } }
  page.line { id = row.id .. "/cpu", title = "  broker CPU", unit = "us/message", better = "less",
    values = values.cpu, notes = { generator_note(values.own) } }
  page.line { id = row.id .. "/syncs", title = "  messages a sync", values = per_sync, notes = notes }
end

function M.measure(option)
  local bytes = order.bytes(option)
  page.section "acknowledged, client away"
  for _, row in ipairs(rows(option.quick)) do
    local values, per_sync, notes = { rate = {}, cpu = {}, own = {} }, {}, {}
    rates(row, option, bytes, values)
    for _, name in ipairs(names) do
      if option.peer(name) then
        local messages, calls = count(row, name)
        if messages then
          notes[#notes + 1] = ("%s %d syncs for %d"):format(name, calls, messages)
          per_sync[name] = calls > 0 and messages / calls or nil
        end
      end
    end
    if bytes and per_sync.skep and row.publishers == 100 then
      notes[#notes + 1] = own_batch(row, option, bytes, per_sync.skep)
    end
    report(row, values, per_sync, notes)
  end
end

return M
