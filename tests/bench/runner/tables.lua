-- Figures in and out: reading the generator's JSON, medians, the printed table, saved files.
local peers = require "peers"
local M = {}

-- The generator prints one flat object, so this is all the JSON there is to read.
function M.read_result(text)
  if not text:find "^{.*}%s*$" then return nil end
  local result = {}
  for key, value in text:gmatch '"([%w_]+)":(%-?[%d.e+-]+)' do result[key] = tonumber(value) end
  for key, value in text:gmatch '"([%w_]+)":"([^"]*)"' do result[key] = value end
  return result
end

local function median(list)
  table.sort(list)
  local n = #list
  if n == 0 then return nil end
  return n % 2 == 1 and list[(n + 1) // 2] or (list[n // 2] + list[n // 2 + 1]) / 2
end

-- With --best the least of the rounds: what others on the machine do only ever adds.
local function typical(list)
  local middle = median(list)
  return M.best and list[1] or middle
end

-- How far the rounds lie apart, as a share of their median.
local function spread(list)
  table.sort(list)
  return #list > 1 and (list[#list] - list[1]) / median(list) or 0
end

local function number(v)
  if not v then return "-" end
  return v < 10 and ("%.3f"):format(v) or v < 1000 and ("%.1f"):format(v) or ("%.0f"):format(v)
end

local columns = { "relay", "mosquitto", "mosquitto-default", "skep" }
local shown = {}

local function loopback()
  local f = io.open "/proc/sys/net/ipv4/tcp_congestion_control"
  local cc = f and f:read "l" or "?"
  if f then f:close() end
  return cc
end

-- Processor time nobody used in the last half second, all cores together.
local function idle_share()
  local function read()
    local f = assert(io.open "/proc/stat")
    local total, fields = 0, {}
    for v in f:read("l"):gmatch "%d+" do
      fields[#fields + 1] = tonumber(v)
      total = total + tonumber(v)
    end
    f:close()
    return fields[4] + fields[5], total
  end
  local idle, total = read()
  os.execute "sleep 0.5"
  local idle2, total2 = read()
  return (idle2 - idle) / math.max(total2 - total, 1)
end

function M.head(option)
  M.best = option.best
  for _, name in ipairs(columns) do
    local present = peers.list[name].present
    if name == "mosquitto-default" then present = present and option.nagle end
    if present then shown[#shown + 1] = name end
  end
  local idle = idle_share()
  print(("%d round%s of %g s%s; %s, congestion control %s; generator on core %s, broker on core %s")
    :format(option.rounds, option.rounds == 1 and "" or "s", option.seconds,
      option.best and ", the best of them" or "",
      os.getenv "SKEP_BENCH_INSIDE" == "namespace" and "own network namespace"
        or "the host's network", loopback(), option["gen-core"], option["peer-core"]))
  if idle < 0.9 then
    print(("NOTE: other programs use %.0f%% of the processors: expect noise"):format(
      100 - 100 * idle))
  end
  print "us of broker CPU for each delivered message, or what the row says; targets in brackets"
  print ""
  local heads = {}
  for i, name in ipairs(shown) do heads[i] = ("%11s"):format(name:gsub("mosquitto%-default", "nagle")) end
  print(("%-44s"):format "" .. table.concat(heads) .. "   targets")
end

local function target_check(target, values)
  local a, b = values[target[1]], target[2] and values[target[2]]
  if not a or (target[2] and not b) then return nil end
  local ratio = b and a / b or a
  local ok
  if target.most then ok = ratio <= target.most else ok = ratio >= target.least end
  local text = b and ("%s/%s %.2f"):format(target[1], target[2], ratio) or ""
  text = ("%s[%s %s]%s"):format(text == "" and "" or text .. " ", target.most and "<=" or ">=",
    target[2] and ("%.3g"):format(target.most or target.least) or number(target.most),
    ok and " met" or " MISSED")
  return ok, text, ratio
end

function M.line(part, results, indented)
  local line = { title = part.title, values = {}, ratios = {}, met = 0, missed = 0 }
  local wide = 0
  for name, list in pairs(results) do
    local values = {}
    for _, result in ipairs(list) do values[#values + 1] = result[part.value] end
    line.values[name] = typical(values)
    if #values > 0 then wide = math.max(wide, spread(values)) end
  end
  local cells, notes = {}, {}
  for i, name in ipairs(shown) do cells[i] = ("%11s"):format(number(line.values[name])) end
  for _, extra in ipairs { "own QoS 1", "own 3.1.1", "one loop" } do
    if line.values[extra] then notes[#notes + 1] = extra .. " " .. number(line.values[extra]) end
  end
  for _, target in pairs(part.targets or {}) do
    local ok, text, ratio = target_check(target, line.values)
    if text then
      notes[#notes + 1] = text
      line.met, line.missed = line.met + (ok and 1 or 0), line.missed + (ok and 0 or 1)
      line.ratios[#line.ratios + 1] = { target[1], target[2] or "", ratio, ok }
    end
  end
  if not part.targets then
    local v = line.values
    if v.skep and v.relay then notes[#notes + 1] = ("skep/relay %.2f"):format(v.skep / v.relay) end
    if v.skep and v.mosquitto then
      notes[#notes + 1] = ("mosquitto/skep %.2f"):format(v.mosquitto / v.skep)
    end
  end
  if wide > 0.25 then notes[#notes + 1] = ("(rounds differ by %.0f%%)"):format(100 * wide) end
  print(("%-44s"):format((indented and "  " or "") .. part.title) .. table.concat(cells) .. "   "
    .. table.concat(notes, "; "))
  io.stdout:flush()
  line.spread, line.texts = wide, notes
  return line
end

function M.foot(met, missed, failures)
  print(("\n%d targets met, %d missed"):format(met, missed))
  for _, text in ipairs(failures) do print("FAILED " .. text) end
end

local function quoted(text)
  return '"' .. text:gsub('[\\"]', "\\%0"):gsub("%c", " ") .. '"'
end

-- { "rows": [ {id, title, values, ratios} ], "runs": [ what the generator said ] }, one row a line.
function M.save(path, summary, all, option)
  local f = assert(io.open(path, "w"))
  f:write('{"rounds":', option.rounds, ',"seconds":', option.seconds, ',"rows":[\n')
  for i, line in ipairs(summary) do
    local values, ratios = {}, {}
    for name, v in pairs(line.values) do values[#values + 1] = quoted(name) .. ":" .. v end
    table.sort(values)
    for j, r in ipairs(line.ratios) do
      ratios[j] = ('{"of":%s,"to":%s,"ratio":%.4f,"met":%s}'):format(quoted(r[1]), quoted(r[2]),
        r[3], r[4])
    end
    f:write(('{"id":%s,"title":%s,"spread":%.3f,"values":{%s},"ratios":[%s]}%s\n'):format(
      quoted(line.id), quoted(line.title), line.spread, table.concat(values, ","),
      table.concat(ratios, ","), i < #summary and "," or ""))
  end
  f:write '],"runs":[\n'
  for i, result in ipairs(all) do
    f:write(('{"row":%s,"peer":%s,"result":%s}%s\n'):format(quoted(result.row),
      quoted(result.peer), (result.text:gsub("%s+$", "")), i < #all and "," or ""))
  end
  f:write "]}\n"
  f:close()
end

-- The same table for docs/performance.md.
function M.markdown(path, summary)
  local f = assert(io.open(path, "w"))
  f:write("| scenario | relay | mosquitto | Skep | ratios and targets |\n|---|---|---|---|---|\n")
  for _, line in ipairs(summary) do
    local v, notes = line.values, {}
    for _, t in ipairs(line.texts) do notes[#notes + 1] = (t:gsub("MISSED", "**missed**")) end
    f:write(("| %s | %s | %s | %s | %s |\n"):format(line.title, number(v.relay),
      number(v.mosquitto), number(v.skep), table.concat(notes, "; ")))
  end
  f:close()
end

-- Skep's figures beside those of a file saved before.  Machines differ: compare on one only.
function M.compare(path, summary)
  local before = {}
  for text in io.lines(path) do
    local id = text:match '^{"id":"([^"]+)"'
    local value = text:match '"values":{[^}]*"skep":([%d.e+-]+)'
    if id and value then before[id] = tonumber(value) end
  end
  print(("\nSkep against %s"):format(path))
  for _, line in ipairs(summary) do
    local was, is = before[line.id], line.values.skep
    if was and is then
      print(("%-44s %10s -> %-10s %+.0f%%"):format(line.title, number(was), number(is),
        100 * (is / was - 1)))
    end
  end
end

return M
