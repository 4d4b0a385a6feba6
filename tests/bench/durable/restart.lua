-- A full queue and many retained messages, then the end: asked for, and by force.  How long until the
-- next start answers, what it takes in memory, and whether everything is there.
local brokers = require "brokers"
local page = require "page"
local run = require "run"
local shared = require "shared"
local M = {}

-- Names of the clients, one for each of the three: a client id belongs to one session.
local QUEUE, RETAINED, READY = 0x5e7, 0x5e8, 0x5e9
local names = { "mosquitto", "rabbitmq", "skep" }
local peer_of = { mosquitto = "mosquitto-exit", rabbitmq = "rabbitmq", skep = "skep" }

local function queue(n, how) return ("offline -s 64 -w 500 --publishers 10 --run %d --count %d %s"):format(QUEUE, n, how) end

local function retained(n, how) return ("retained -q 1 -b 500 --run %d --retained %d %s"):format(RETAINED, n, how) end

local function fill(broker, n)
  local queued, why = run.bench("restart", broker, queue(n, "--keep"))
  if not queued then return nil, why end
  local kept, reason = run.bench("restart", broker, retained(n, "--keep --rounds 0"))
  return kept and queued, reason
end

-- RabbitMQ has no retained messages for filters with wildcards: only its queue is looked at.
local function fetch(broker, n)
  local queued, why = run.bench("restart", broker, queue(n, "--filled"))
  if not queued then return "queue: " .. why end
  if broker.slow then return nil end
  local kept, reason = run.bench("restart", broker, retained(n, "--filled --keep --rounds 1"))
  return not kept and "retained: " .. reason or nil
end

local ends = {
  term = function(broker) brokers.stop(broker, 300) end,
  kill = brokers.kill,
}

-- Fill a fresh one, end it, start it again.  Returns what `ready` says, or nil and what went wrong;
-- a start that found nothing to load is no figure.
local function once(name, how, n)
  local broker = brokers.start(peer_of[name], true)
  local result, why = fill(broker, n)
  if result then
    ends[how](broker)
    broker = brokers.start(peer_of[name], false)
    result, why = run.bench("restart/" .. how, broker, ("ready --run %d"):format(READY))
  end
  if result then why = fetch(broker, n) end
  brokers.kill(broker)
  brokers.discard(broker)
  return not why and result or nil, why
end

local function both(how, signal, n, option)
  local seconds, rss, notes = {}, {}, {}
  for _, name in ipairs(names) do
    -- Four starts of RabbitMQ are half a minute.
    if option.peer(name) and not (option.quick and name == "rabbitmq") then
      -- A tenth for RabbitMQ, which would need minutes to take them.
      local result, why = once(name, how, name == "rabbitmq" and n // 10 or n)
      if result then
        seconds[name], rss[name] = result.seconds, result.rss
      else
        notes[#notes + 1] = name .. ": " .. why:gsub("^.*/", "")
        if name == "skep" and brokers.stored then page.fail("restart after " .. signal .. ", skep", why) end
      end
    end
  end
  page.line { id = "restart/" .. how, title = "first CONNACK after " .. signal, unit = "s", better = "less",
    values = seconds, notes = notes }
  page.line { id = "restart/" .. how .. "-rss", title = "  resident memory then", unit = "bytes", better = "less",
    values = rss }
end

function M.measure(option)
  shared.finish()
  page.section(("restart, %d queued and %d retained"):format(option.messages, option.messages))
  both("term", "SIGTERM", option.messages, option)
  both("kill", "SIGKILL", option.messages, option)
  print "  (everything is fetched afterwards; RabbitMQ has a tenth; mosquitto saves at its end)"
end

return M
