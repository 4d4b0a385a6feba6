-- Which came first, the sync or the acknowledgement?  From one traced run a broker.
local page = require "page"
local trace = require "trace"
local traced = require "traced"
local M = {}

local names = { "mosquitto", "rabbitmq", "skep" }

local function traced_run(name, messages)
  return traced.run("order", name, "-y -xx -s 1000000 -e abbrev=none -e trace=" .. trace.calls,
    ("offline -s 64 -w 10 --publishers 10 --count %d%s"):format(messages, name == "rabbitmq" and "" or " --keep"))
end

-- Returns the bytes that a message of 64 bytes takes in Skep's log, or nil.
function M.measure(option)
  page.section "acknowledgements that left before the sync"
  local early, notes, bytes = {}, {}, nil
  local messages = option.quick and 1000 or 5000
  for _, name in ipairs(names) do
    if option.peer(name) then
      local result, why = traced_run(name, messages)
      local seen = result and trace.read(io.lines(traced.file))
      if not result then
        page.fail("order, " .. name, why)
      elseif seen.acks ~= messages then
        page.fail("order, " .. name, ("the trace shows %d of %d acknowledgements"):format(seen.acks, messages))
      else
        early[name] = seen.early
        notes[#notes + 1] = ("%s: acks sent before their sync: %d of %d"):format(name, seen.early, seen.acks)
        if name == "skep" and seen.bytes > 0 then bytes = seen.bytes / seen.acks end
      end
    end
  end
  page.line { id = "order", title = ("of %d"):format(messages), values = early, notes = notes,
    targets = { { "skep", most = 0 } } }
  if bytes then print(("a message of 64 bytes takes %.0f bytes in Skep's log"):format(bytes)) end
  return bytes
end

return M
