-- The figures: medians over rounds, the printed table, files.
--
-- A line has one value for each column.  Ratios say how many times better Skep is than a peer,
-- whichever way the value counts; a target compares two columns:
--     { "skep", "loop", least = 0.67 }       skep / loop at least 0.67
--     { "skep", most = 0 }                   the value itself
local M = { lines = {}, runs = {}, failures = {}, met = 0, missed = 0 }

M.columns = { "mosquitto", "rabbitmq", "skep" }

function M.median(list)
  if not list or #list == 0 then return nil end
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  local n = #sorted
  return n % 2 == 1 and sorted[(n + 1) // 2] or (sorted[n // 2] + sorted[n // 2 + 1]) / 2
end

local function spread(list)
  if not list or #list < 2 then return 0 end
  return (math.max(table.unpack(list)) - math.min(table.unpack(list))) / math.max(M.median(list), 1e-9)
end

local function number(v)
  if not v then return "-" end
  if v == math.floor(v) and math.abs(v) < 1e5 then return ("%d"):format(v) end
  return v < 10 and ("%.3f"):format(v) or v < 1000 and ("%.1f"):format(v) or v < 1e6 and ("%.0f"):format(v)
    or ("%.2fm"):format(v / 1e6)
end
M.number = number

-- Of lists of the same length, that is, of the same rounds: the median of each round's ratio, for a
-- disk is never as fast twice.
local function ratio_of(a, b)
  if type(a) == "table" and type(b) == "table" and #a == #b then
    local ratios = {}
    for i = 1, #a do ratios[i] = a[i] / b[i] end
    return M.median(ratios)
  end
  a = type(a) == "table" and M.median(a) or a
  b = type(b) == "table" and M.median(b) or b
  return type(a) == "number" and type(b) == "number" and b ~= 0 and a / b or nil
end

local function target_check(target, values)
  local a, b = values[target[1]], target[2] and values[target[2]] or 1
  local ratio = (not target[2] or values[target[2]]) and ratio_of(a, b)
  if not ratio then return nil end
  local ok
  if target.most then ok = ratio <= target.most else ok = ratio >= target.least end
  local text = ("%s%s %s [%s %s] %s"):format(target.name or target[1], target[2] and "/" .. target[2] or "",
    number(ratio), target.most and "<=" or ">=", number(target.most or target.least), ok and "met" or "MISSED")
  return ok, text, ratio
end

local function times(better, ours, theirs)
  if not better or not ours or not theirs or ours == 0 or theirs == 0 then return nil end
  return better == "more" and ours / theirs or theirs / ours
end

local widths = { 46, 11, 11, 11, 11, 11 }

local function row_print(cells, notes)
  local out = { ("%-" .. widths[1] .. "s"):format(cells[1]) }
  for i = 2, #widths do out[i] = ("%" .. widths[i] .. "s"):format(cells[i] or "") end
  local text = table.concat(out) .. "   " .. (notes or "")
  print((text:gsub("%s+$", "")))
  io.stdout:flush()
end

function M.section(title)
  M.title = title
  print()
  row_print { title, "mosquitto", "RabbitMQ", "Skep", "x mosq.", "x Rabbit" }
end

-- { id =, title =, unit =, better = "more" | "less" | nil, values = { column = list or number },
--   targets =, notes = { text } }
function M.line(line)
  local notes, values, wide = {}, {}, 0
  for _, note in pairs(line.notes or {}) do
    if note then notes[#notes + 1] = note end
  end
  for name, v in pairs(line.values) do
    values[name] = type(v) == "table" and M.median(v) or type(v) == "number" and v or nil
    if type(v) == "table" then wide = math.max(wide, spread(v)) end
  end
  local rounds = line.values
  line.values, line.spread = values, wide
  line.ratios = { mosquitto = times(line.better, values.skep, values.mosquitto),
    rabbitmq = times(line.better, values.skep, values.rabbitmq) }
  line.checks = {}
  for _, target in ipairs(line.targets or {}) do
    local ok, text, ratio = target_check(target, rounds)
    if text then
      notes[#notes + 1] = text
      M.met, M.missed = M.met + (ok and 1 or 0), M.missed + (ok and 0 or 1)
      line.checks[#line.checks + 1] = { name = text, ratio = ratio, met = ok }
    end
  end
  if wide > 0.25 then notes[#notes + 1] = ("(rounds differ by %.0f%%)"):format(100 * wide) end
  line.text, line.section = table.concat(notes, "; "), M.title
  M.lines[#M.lines + 1] = line
  row_print({ line.title .. (line.unit and ", " .. line.unit or ""), number(values.mosquitto), number(values.rabbitmq),
    number(values.skep), number(line.ratios.mosquitto), number(line.ratios.rabbitmq) }, line.text)
end

function M.fail(what, why)
  M.failures[#M.failures + 1] = what .. ": " .. tostring(why):gsub("%s+$", "")
end

function M.foot()
  print(("\n%d targets met, %d missed"):format(M.met, M.missed))
  for _, text in ipairs(M.failures) do print("FAILED " .. text) end
end

local function quoted(text)
  return '"' .. text:gsub('[\\"]', "\\%0"):gsub("%c", " ") .. '"'
end

local function object(map)
  local parts = {}
  for name, v in pairs(map) do parts[#parts + 1] = ("%s:%.10g"):format(quoted(name), v) end
  table.sort(parts)
  return "{" .. table.concat(parts, ",") .. "}"
end

-- { "rows": [ ... ], "runs": [ what the programs said ], "failures": [ ... ] }, one row a line.
function M.save(path, option)
  local f = assert(io.open(path, "w"))
  local function list(items, write)
    local parts = {}
    for i, item in ipairs(items) do parts[i] = write(item) end
    f:write("[\n", table.concat(parts, ",\n"), "\n]")
  end
  f:write(('{"rounds":%d,"seconds":%g,"messages":%d,"rows":'):format(option.rounds, option.seconds, option.messages))
  list(M.lines, function(line)
    local checks = {}
    for i, c in ipairs(line.checks) do
      checks[i] = ('{"name":%s,"ratio":%.4f,"met":%s}'):format(quoted(c.name), c.ratio, c.met)
    end
    return ('{"id":%s,"title":%s,"unit":%s,"spread":%.3f,"values":%s,"times_better":%s,"targets":[%s],"notes":%s}')
      :format(quoted(line.id), quoted(line.title), quoted(line.unit or ""), line.spread, object(line.values),
        object(line.ratios), table.concat(checks, ","), quoted(line.text))
  end)
  f:write ',"runs":'
  list(M.runs, function(r)
    return ('{"row":%s,"peer":%s,"result":%s}'):format(quoted(r.row), quoted(r.peer), (r.text:gsub("%s+$", "")))
  end)
  f:write ',"failures":'
  list(M.failures, quoted)
  f:write "}\n"
  f:close()
end

-- The same table for docs/performance.md.
function M.markdown(path)
  local f = assert(io.open(path, "w"))
  f:write "| scenario | mosquitto | RabbitMQ | Skep | Skep against mosquitto | against RabbitMQ | targets and notes |\n"
  f:write "|---|---|---|---|---|---|---|\n"
  local function times_text(r) return r and number(r) .. " x" or "-" end
  local section
  for _, line in ipairs(M.lines) do
    if line.section ~= section then
      section = line.section
      f:write(("| **%s** | | | | | | |\n"):format(section))
    end
    f:write(("| %s | %s | %s | %s | %s | %s | %s |\n"):format((line.title:gsub("^%s+", "")
      .. (line.unit and ", " .. line.unit or "")), number(line.values.mosquitto), number(line.values.rabbitmq),
      number(line.values.skep), times_text(line.ratios.mosquitto), times_text(line.ratios.rabbitmq),
      (line.text:gsub("MISSED", "**missed**"))))
  end
  f:close()
end

return M
