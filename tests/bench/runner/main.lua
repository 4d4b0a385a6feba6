-- Run the rows, print the table, save the figures.
local rows = require "rows"
local help = [[
usage: tests/bench/run [option...]        (or ./dev bench ...)

Runs each scenario against Skep (one loop), mosquitto and a relay without protocol, in turns, and
prints the cost of each in processor microseconds for a delivered message, with the ratios beside
their targets.

  --quick           one short round: the whole table in under 3 minutes
  --rounds N        alternate N times, take the median (3)
  --seconds S       measure each run so long (2)
  --best            take the best round instead of the median (for a machine others use)
  --only NAME,...   rows to run, by name or by the start of one; --list names them
  --list            name the rows and leave
  --nagle           also mosquitto as it comes, without set_tcp_nodelay
  --without PEER    leave out relay, mosquitto or skep
  --build DIR       where bin/ is (build/release)
  --json FILE       save every figure
  --markdown FILE   the table as docs/performance.md has it
  --against FILE    compare with figures saved before
  --gen-core N, --peer-core N   cores of the generator (0) and of the broker (1)
  --nice N          priority of both, below 0 on a machine that others use, too
  --skep-extra TEXT             more directives for Skep's configuration
]]

local option = { rounds = 3, seconds = 2, ["gen-core"] = "0", ["peer-core"] = "1", nice = 0, without = "" }
do
  local i = 1
  while arg[i] do
    local name = arg[i]:match "^%-%-(.+)$"
    if name == "help" then io.write(help) os.exit(0) end
    if name == "quick" or name == "list" or name == "nagle" or name == "best" then
      option[name] = true
    elseif name and arg[i + 1] and (option[name] ~= nil or name == "only" or name == "json"
        or name == "markdown" or name == "build" or name == "against" or name == "skep-extra") then
      i = i + 1
      option[name] = arg[i]
    else
      io.stderr:write(arg[i], ": no such option, or its value is missing; see --help\n")
      os.exit(1)
    end
    i = i + 1
  end
  if option.quick then option.rounds, option.seconds = 1, 0.4 end
  option.rounds = assert(math.tointeger(tonumber(option.rounds)), "--rounds needs a number")
  option.seconds = assert(tonumber(option.seconds), "--seconds needs a number")
end

local function selected(row)
  if not option.only then return true end
  for name in option.only:gmatch "[^,]+" do
    if row.id:sub(1, #name) == name then return true end
  end
  return false
end

if option.list then
  for _, row in ipairs(rows) do print(("%-14s %s"):format(row.id, row.title)) end
  os.exit(0)
end

local peers = require "peers"
peers.skep_extra, peers.nice = option["skep-extra"], option.nice
local tables = require "tables"

-- One run of the generator against a fresh peer.  Returns its result, or nil and why.
local function measure(row, run)
  local name, peer_name, args = table.unpack(run)
  local shared = row.cores == "all"
  local cores = shared and option["gen-core"] .. "," .. option["peer-core"] or option["peer-core"]
  local kind = args:find "%-%-tls" and 1 or args:find "%-%-ws" and 2 or 0
  local peer = peers.start(peer_name, cores, kind)
  local command = ("timeout 180 nice -n %d taskset -c %s %s/skep-bench %s %s -p %d --pid %d --wait 10 --json"
    .. " %s --warmup 0.2 2>%s/gen.log"):format(option.nice, shared and cores or option["gen-core"], peers.bin,
    args, peers.list[peer_name].arguments or "", peer.port, peer.pid,
    row.timeless and "" or "-t " .. option.seconds, peers.dir)
  local text = peers.capture(command)
  local died = not peers.alive(peer)
  peers.stop(peer)

  local result = tables.read_result(text)
  if not result then
    local f = io.open(peers.dir .. "/gen.log")
    local why = f and f:read "a" or ""
    if f then f:close() end
    return nil, (died or why == "") and why .. "  its last words: " .. peers.log() or why
  end
  if result.delivered_per_second then result.us_per_message = 1e6 / result.delivered_per_second end
  result.name, result.peer, result.row = name, peer_name, row.id
  result.text = text
  if result.verdict ~= "ok" then return nil, result.verdict end
  return result
end

local function wanted(run)
  local peer = peers.list[run[2]]
  if not peer.present then return false end
  for name in option.without:gmatch "[^,]+" do
    if run[2]:sub(1, #name) == name then return false end
  end
  return true
end

local all, failures = {}, {}

local function row_run(row)
  local runs = {}
  for _, run in ipairs(row.runs) do
    if wanted(run) then runs[#runs + 1] = run end
    if run[2] == "mosquitto" and option.nagle then
      local plain = { "mosquitto-default", "mosquitto-default", run[3] }
      if wanted(plain) then runs[#runs + 1] = plain end
    end
  end
  local rounds = math.min(option.rounds, row.rounds or option.rounds)
  local results = {}
  for round = 1, rounds do
    for i = 1, #runs do
      -- Every round begins with another one, so that none always follows the same.
      local run = runs[(i + round - 2) % #runs + 1]
      local result, why = measure(row, run)
      if result then
        results[run[1]] = results[run[1]] or {}
        table.insert(results[run[1]], result)
        all[#all + 1] = result
      else
        failures[#failures + 1] = ("%s, %s: %s"):format(row.id, run[1], why:gsub("%s+$", ""))
      end
    end
  end
  return results
end

tables.head(option)
local missed, met, summary = 0, 0, {}
for _, row in ipairs(rows) do
  if selected(row) then
    local results = row_run(row)
    local parts = { row }
    for _, also in ipairs(row.also or {}) do parts[#parts + 1] = also end
    for i, part in ipairs(parts) do
      local line = tables.line(part, results, i > 1)
      line.id = row.id .. (i > 1 and "/" .. part.value or "")
      met, missed = met + line.met, missed + line.missed
      summary[#summary + 1] = line
    end
  end
end
tables.foot(met, missed, failures)
if option.json then tables.save(option.json, summary, all, option) end
if option.markdown then tables.markdown(option.markdown, summary) end
if option.against then tables.compare(option.against, summary) end
os.exit(#failures == 0 and 0 or 1)
