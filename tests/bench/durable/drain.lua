-- A long queue, fetched by the client that comes back, against what the same broker delivers from
-- memory.
local brokers = require "brokers"
local page = require "page"
local run = require "run"
local shared = require "shared"
local M = {}

local function once(id, peer, arguments, value)
  local broker = shared.broker(peer)
  local result, why = run.bench(id, broker, arguments)
  shared.done(broker)
  if not result then page.fail(id .. ", " .. peer, why) end
  return result and result[value]
end

local function queue(count) return ("offline -s 64 -w 500 --publishers 10 --count %d"):format(count) end

function M.measure(option)
  local short = math.min(option.messages, 100000)
  -- RabbitMQ needs a minute for what takes Skep seconds; mosquitto would need hours when it saves
  -- as it goes, and saves at its end instead.
  local runs = {
    { "mosquitto", "mosquitto-exit", queue(option.messages), "drained_per_second" },
    { "rabbitmq", "rabbitmq", queue(short), "drained_per_second" },
    { "skep", "skep", queue(option.messages), "drained_per_second" },
    { "queue in memory", "skep-off", queue(short), "drained_per_second" },
    { "live pairs", "skep-off", ("pairs -q 1 -b 16 -t %g"):format(option.seconds), "delivered_per_second" },
  }
  page.section "a queue fetched"
  local values = {}
  for round = 1, option.rounds do
    for i = 1, #runs do
      local name, peer, arguments, value = table.unpack(runs[(i + round - 2) % #runs + 1])
      if option.peer(name) or (option.peer "skep" and peer == "skep-off") then
        values[name] = values[name] or {}
        table.insert(values[name], once("drain", peer, arguments, value))
      end
    end
  end
  local memory, live = page.median(values["queue in memory"]), page.median(values["live pairs"])
  page.line { id = "drain", title = ("%d messages of 64 B"):format(option.messages), unit = "/s", better = "more",
    values = values,
    notes = { ("Skep with store off: %d queued %s/s, live pairs %s/s"):format(short, page.number(memory),
      page.number(live)), "mosquitto saves at its end", ("RabbitMQ: %d"):format(short),
      not brokers.stored and "this Skep keeps nothing" },
    targets = { { "skep", "queue in memory", least = 1 / 3 }, { "skep", "live pairs", least = 1 / 3 } } }
end

return M
