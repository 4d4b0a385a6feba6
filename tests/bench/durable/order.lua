-- Which came first, the sync or the acknowledgement?  From one traced run a broker.
local brokers = require "brokers"
local page = require "page"
local trace = require "trace"
local traced = require "traced"
local M = {}

local names = { "mosquitto", "rabbitmq", "skep" }

local MESSAGES = 1000 -- mosquitto writes all of them again for each

-- { acks =, early =, syncs =, bytes = }, or nil and why.
local function traced_run(name)
  local result, why = traced.run("order", name, "-y -xx -s 1000000 -e abbrev=none -e trace=" .. trace.calls,
    ("offline -s 64 -w 10 --publishers 10 --count %d%s"):format(MESSAGES, name == "rabbitmq" and "" or " --keep"))
  local seen = result and trace.read(io.lines(traced.file))
  if seen and seen.acks ~= MESSAGES then
    return nil, ("the trace shows %d of %d acknowledgements"):format(seen.acks, MESSAGES)
  end
  return seen, why
end

-- What a message of 64 bytes takes in Skep's log, or nil when it writes none.
local log_bytes

local function note_bytes(seen)
  if seen and seen.bytes > 0 then log_bytes = math.ceil(seen.bytes / seen.acks) end
end

function M.bytes(option)
  if not log_bytes and option.peer "skep" and brokers.stored then note_bytes(traced_run "skep") end
  return log_bytes
end

function M.measure(option)
  page.section "acknowledgements that left before the sync"
  local early, notes = {}, {}
  for _, name in ipairs(names) do
    if option.peer(name) then
      local seen, why = traced_run(name)
      if seen then
        early[name] = seen.early
        notes[#notes + 1] = ("%s: acks sent before their sync: %d of %d"):format(name, seen.early, seen.acks)
        if name == "skep" then note_bytes(seen) end
      else
        page.fail("order, " .. name, why)
      end
    end
  end
  if log_bytes then notes[#notes + 1] = ("64 B are %d in Skep's log"):format(log_bytes) end
  page.line { id = "order", title = ("too early, of %d"):format(MESSAGES), values = early, notes = notes,
    targets = { { "skep", most = 0 } } }
end

return M
