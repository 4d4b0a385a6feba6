-- QoS 0 round trips of clients that ask for nothing durable, while others keep the disk busy.
local brokers = require "brokers"
local page = require "page"
local run = require "run"
local shared = require "shared"
local M = {}

local RATE = 1000
local percentiles = { { "p50_us", "p50" }, { "p99_us", "p99" }, { "p999_us", "p99.9" } }
local peer_of = { mosquitto = "mosquitto", rabbitmq = "rabbitmq", skep = "skep", ["store off"] = "skep-off" }

local function timed(seconds) return ("latency -r %d -t %g --warmup 0.5"):format(RATE, seconds) end

-- For longer than what is timed, so that the load is there to its end.
local function load(seconds)
  return ("offline -s 64 -w 50 --publishers 100 --keep --warmup 0 -t %g"):format(seconds + 1.5)
end

local function once(name, seconds, loaded)
  local broker = shared.broker(peer_of[name])
  local result, why
  if loaded then
    result, why = run.beside("latency/" .. name, broker, load(seconds), timed(seconds))
  else
    result, why = run.bench("latency/" .. name, broker, timed(seconds))
  end
  if loaded and broker.slow then shared.finish() end -- its queue is full of what nobody will fetch
  shared.done(broker)
  if not result then page.fail("latency, " .. name, why) end
  return result
end

local function lines(id, title, results, notes)
  for _, p in ipairs(percentiles) do
    local values = {}
    for name, list in pairs(results) do
      values[name] = {}
      for _, result in ipairs(list) do table.insert(values[name], result[p[1]]) end
    end
    local off = page.median(values["store off"])
    page.line { id = id .. "/" .. p[1], title = title .. ", " .. p[2], unit = "us", better = "less", values = values,
      notes = off and { "Skep, same load, store off " .. page.number(off) } or notes }
  end
end

function M.measure(option)
  page.section(("QoS 0 round trip at %d a second"):format(RATE))
  local seconds = math.max(option.seconds, 1)
  for _, loaded in ipairs { false, true } do
    local results = {}
    local names = { "mosquitto", "rabbitmq", "skep", loaded and "store off" or nil }
    for round = 1, option.rounds do
      for i = 1, #names do
        local name = names[(i + round - 2) % #names + 1]
        if option.peer(name) or (name == "store off" and option.peer "skep" and brokers.stored) then
          results[name] = results[name] or {}
          table.insert(results[name], once(name, seconds, loaded))
        end
      end
    end
    lines(loaded and "latency-loaded" or "latency", loaded and "beside durable load" or "alone", results)
  end
end

return M
