-- One run of a program, and what its result says.
local brokers = require "brokers"
local page = require "page"
local peers = require "peers"
local tables = require "tables"
local M = { core = "0" }

-- The flat JSON object in `text`, noted for --json; nil and why when there is none or it says so.
local function result_of(row, name, text, fallen)
  local result = tables.read_result(text)
  if not result then return nil, fallen end
  page.runs[#page.runs + 1] = { row = row, peer = name, text = text }
  if result.verdict ~= "ok" then return nil, result.verdict, result end
  return result
end

local function last_words(path, broker)
  local said = peers.log(path)
  if broker and not peers.alive(broker) then return said .. "; its last words: " .. brokers.log() end
  return said
end

function M.command(broker, arguments)
  return ("timeout 900 taskset -c %s %s/skep-bench %s -p %d --pid %d --wait 600 --json"):format(M.core, peers.bin,
    arguments, broker.port, broker.pid)
end

-- The generator against a broker.
function M.bench(row, broker, arguments)
  local errors = peers.dir .. "/gen.log"
  local text = peers.capture(M.command(broker, arguments) .. " 2>" .. errors)
  return result_of(row, broker.name, text, last_words(errors, broker))
end

-- Two generators at once: the first in the background, its result thrown away but for its verdict.
function M.beside(row, broker, background, arguments)
  local errors, other = peers.dir .. "/gen.log", peers.dir .. "/background.json"
  -- What is measured must not wait for what makes the load: where we may, it goes first.
  local first = os.execute "chrt -f 1 true 2>/dev/null" and "chrt -f 1 " or ""
  local text = peers.capture(("%s >%s 2>&1 & busy=$!; %s%s 2>%s; wait $busy"):format(M.command(broker, background),
    other, first, M.command(broker, arguments), errors))
  local load, why = result_of(row .. "/load", broker.name, peers.capture("cat " .. other), last_words(other))
  if not load then return nil, "the load: " .. why end
  local result, reason = result_of(row, broker.name, text, last_words(errors, broker))
  return result, reason, load
end

function M.loop(row, bytes, batch, seconds)
  local errors = peers.dir .. "/loop.log"
  local text = peers.capture(("timeout 600 taskset -c %s %s/skep-sync-loop %s %d %d %g 2>%s"):format(brokers.core,
    peers.bin, brokers.disk, bytes, batch, seconds, errors))
  return result_of(row, "loop", text, last_words(errors))
end

return M
