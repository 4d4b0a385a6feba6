-- Run the sections, print the table, save the figures.
local help = [[
usage: ./dev bench durable [option...]        (or tests/bench/run durable ...)

Measures what a durable message costs Skep (sync always), mosquitto (persistence, autosave after
each change) and RabbitMQ (rabbitmq_mqtt), in turns on the same disk, with ratios.

  --quick           one short round of fewer rows, about a minute
  --rounds N        alternate N times, take the median (3)
  --seconds S       measure each run so long (1)
  --messages N      queued and retained for drain and restart (1000000; quick 50000)
  --only NAME,...   of order, rates, drain, restart, latency
  --without PEER,.. leave out mosquitto, rabbitmq or skep
  --data DIR        the disk under test (the build directory)
  --build DIR       where bin/ is (build/release)
  --json FILE       save every figure
  --markdown FILE   the table as docs/performance.md has it
  --gen-core N, --peer-core N   cores of the generator (0) and of the broker (1)
  --nice N          priority of the broker, below 0 on a machine that others use, too
  --skep-extra TEXT             more directives for Skep's configuration
]]

local option = { rounds = "3", seconds = "1", messages = "1000000", without = "", only = "", json = "", markdown = "",
  data = "", build = "", ["gen-core"] = "0", ["peer-core"] = "1", nice = "0", ["skep-extra"] = "" }

local function arguments_read()
  local given, i = {}, 1
  while arg[i] do
    local name = arg[i]:match "^%-%-(.+)$"
    if name == "help" then io.write(help) os.exit(0) end
    if name == "quick" then
      option.quick = true
    elseif name and arg[i + 1] and option[name] ~= nil then
      i = i + 1
      option[name], given[name] = arg[i], true
    else
      io.stderr:write(arg[i], ": no such option, or its value is missing; see --help\n")
      os.exit(1)
    end
    i = i + 1
  end
  if option.quick then
    local short = { rounds = 1, seconds = 0.4, messages = 50000 }
    for name, v in pairs(short) do if not given[name] then option[name] = v end end
  end
  for _, name in ipairs { "rounds", "messages", "nice" } do
    option[name] = assert(math.tointeger(tonumber(option[name])), "--" .. name .. " needs a whole number")
  end
  option.seconds = assert(tonumber(option.seconds), "--seconds needs a number")
end

arguments_read()

local brokers = require "brokers"
local page = require "page"
local peers = require "peers"
local run = require "run"
local shared = require "shared"

peers.nice = option.nice
brokers.core, brokers.extra, run.core = option["peer-core"], option["skep-extra"], option["gen-core"]

local function in_list(list, name)
  for item in list:gmatch "[^,]+" do
    if item == name then return true end
  end
  return false
end

function option.peer(name)
  return brokers.list[name] and brokers.list[name].present and not in_list(option.without, name)
end

local function head()
  print(("%d round%s of %g s; data on %s (%s); generator on core %s, broker on core %s"):format(option.rounds,
    option.rounds == 1 and "" or "s", option.seconds, option.data == "" and "the build directory" or option.data,
    peers.capture("stat -f -c %T " .. brokers.disk):match "%S+" or "?", option["gen-core"], option["peer-core"]))
  for _, name in ipairs(page.columns) do
    if not brokers.list[name].present then print("NOTE: no " .. name .. " here: its column stays empty") end
  end
  if not brokers.stored then print "NOTE: this Skep has no store: it is measured in memory" end
end

local sections = { "order", "rates", "drain", "latency", "restart" }

head()
for _, section in ipairs(sections) do
  if option.only == "" or in_list(option.only, section) then
    local began = os.time()
    require(section).measure(option)
    print(("  (%s took %d s)"):format(section, os.time() - began))
  end
end
shared.finish()
brokers.finish()
page.foot()
if option.json ~= "" then page.save(option.json, option) end
if option.markdown ~= "" then page.markdown(option.markdown) end
os.exit(#page.failures == 0 and 0 or 1)
