-- Full queues and many retained messages, then the end: asked for, and by force.  How long until the
-- next start answers, what it takes in memory, and whether everything is there.
local brokers = require "brokers"
local page = require "page"
local run = require "run"
local M = {}

local RUN = 0x5e7
local names = { "mosquitto", "rabbitmq", "skep" }
local peer_of = { mosquitto = "mosquitto-exit", rabbitmq = "rabbitmq", skep = "skep" }

local function queue(n, how) return ("offline -s 64 -w 500 --publishers 10 --run %d --count %d %s"):format(RUN, n, how) end

local function retained(n, how) return ("retained -q 1 -b 500 --run %d --retained %d %s"):format(RUN, n, how) end

-- Each step's result, or nil and the step that failed.
local function steps(broker, list)
  local results = {}
  for _, step in ipairs(list) do
    local result, why = run.bench("restart", broker, step)
    if not result then return nil, step:match "^%w+" .. ": " .. why end
    results[#results + 1] = result
  end
  return results
end

local function again(name, broker, values, kind)
  broker = brokers.start(broker.name, false)
  local ready, why = run.bench("restart/" .. kind, broker, "ready --wait 600")
  if ready then
    values[kind][name] = ready.seconds
    values[kind .. "_rss"][name] = ready.rss
  else
    page.fail(("restart after %s, %s"):format(kind, name), why)
  end
  return broker
end

-- Fill, TERM, look; KILL, look and fetch.
local function one(name, n, values, kept)
  local broker = brokers.start(peer_of[name], true)
  local filled, why = steps(broker, { queue(n, "--keep"), retained(n, "--keep --rounds 0") })
  if not filled then
    page.fail("restart, " .. name, why)
    brokers.kill(broker)
    return
  end
  values.before_rss[name] = filled[1].rss
  brokers.stop(broker, 300)
  broker = again(name, broker, values, "term")
  brokers.kill(broker)
  broker = again(name, broker, values, "kill")
  -- RabbitMQ has no retained messages for filters with wildcards.
  local found, lost = steps(broker, { queue(n, "--filled"),
    name ~= "rabbitmq" and retained(n, "--filled --keep --rounds 1") or nil })
  kept[#kept + 1] = name .. (found and ": all there" or ": " .. lost)
  if not found and name == "skep" and brokers.stored then page.fail("restart, skep", lost) end
  brokers.stop(broker, 300)
  brokers.discard(broker)
end

function M.measure(option)
  local values, kept = { term = {}, kill = {}, term_rss = {}, kill_rss = {}, before_rss = {} }, {}
  local n = option.messages
  page.section(("restart, %d queued and %d retained"):format(n, n))
  for _, name in ipairs(names) do
    -- A tenth for RabbitMQ, which would need minutes to take them.
    if option.peer(name) then one(name, name == "rabbitmq" and n // 10 or n, values, kept) end
  end
  page.line { id = "restart/term", title = "first CONNACK after SIGTERM", unit = "s", better = "less",
    values = values.term, notes = { ("RabbitMQ: a tenth of the messages"), "mosquitto saves at its end" } }
  page.line { id = "restart/kill", title = "first CONNACK after SIGKILL", unit = "s", better = "less",
    values = values.kill, notes = { table.concat(kept, ", ") } }
  page.line { id = "restart/rss", title = "resident memory after SIGTERM", unit = "bytes", better = "less",
    values = values.term_rss }
  page.line { id = "restart/kill-rss", title = "resident memory after SIGKILL", unit = "bytes", better = "less",
    values = values.kill_rss }
end

return M
