-- QoS 1 into the queue of a client that is away: messages acknowledged a second, what one costs the
-- broker, how many share a sync, and how far that is from the bare loop on the same disk.
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
  local order = {}
  for _, name in ipairs(names) do
    if option.peer(name) then order[#order + 1] = name end
  end
  if bytes and row.publishers == 100 then order[#order + 1] = "loop" end
  for round = 1, option.rounds do
    for i = 1, #order do
      local name = order[(i + round - 2) % #order + 1]
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

local function report(row, values, per_sync, syncs)
  local loop = page.median(values.rate.loop)
  page.line { id = row.id, title = row.title, unit = "/s", better = "more", values = values.rate,
    notes = loop and { "bare loop " .. page.number(loop) } or nil,
    targets = { { "loop", "skep", most = 1.5 } } }
  page.line { id = row.id .. "/cpu", title = "  broker CPU", unit = "us/message", better = "less",
    values = values.cpu }
  page.line { id = row.id .. "/syncs", title = "  messages a sync", values = per_sync, notes = { syncs } }
end

-- bytes: what a message of 64 bytes takes in Skep's log, nil when it was not seen to write one.
function M.measure(option, bytes)
  page.section "acknowledged, client away"
  for _, row in ipairs(rows(option.quick)) do
    local values, per_sync, syncs = { rate = {}, cpu = {}, own = {} }, {}, {}
    rates(row, option, bytes, values)
    for _, name in ipairs(names) do
      if option.peer(name) then
        local messages, calls = count(row, name)
        if messages then
          syncs[#syncs + 1] = ("%s %d syncs for %d"):format(name, calls, messages)
          per_sync[name] = calls > 0 and messages / calls or nil
        end
      end
    end
    report(row, values, per_sync, table.concat(syncs, ", "))
  end
end

return M
