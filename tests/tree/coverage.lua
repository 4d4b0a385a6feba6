-- Which rule of MQTT is tested where.
--
--   lua5.4 tests/tree/coverage.lua [ROOT] [--holes]
--
-- Prints each id of tests/requirements.tsv with the tests that carry it, or the reason why none
-- does
-- (tests/tree/coverage-exceptions.tsv); --holes prints only what neither has.  Fails on such a
-- hole,
-- on a tag that names no rule, and on an exception for something that has a test by now.
--
-- A tag is MQTT-3.1.2-24, for every version that has a rule of this name, or MQTT-3.1.2-24/5 and
-- MQTT-3.1.2-24/3.1.1 for one of them: the numbers are the same, the rules are not.
local root, holes_only = ".", false
for _, word in ipairs(arg) do
  if word == "--holes" then holes_only = true else root = word end
end

local suffixes = { ["3.1"] = "3.1", ["3.1.1"] = "3.1.1", ["5.0"] = "5", both = "both" }

-- Rows of a table with tabs, the heading left out.
local function rows(path)
  local list = {}
  for line in io.lines(path) do
    local row = {}
    for cell in (line .. "\t"):gmatch("([^\t]*)\t") do row[#row + 1] = cell end
    list[#list + 1] = row
  end
  table.remove(list, 1)
  return list
end

local function read_rules()
  local list, by_id = {}, {}
  for _, row in ipairs(rows(root .. "/tests/requirements.tsv")) do
    local rule = { id = row[1], version = suffixes[row[2]], area = row[3], text = row[4],
      where = {} }
    list[#list + 1] = rule
    by_id[rule.id] = by_id[rule.id] or {}
    table.insert(by_id[rule.id], rule)
  end
  return list, by_id
end

local function count(rule, place, version)
  if not rule.where[place] then
    rule.where[place] = true
    table.insert(rule.where, place)
  end
  rule.tested = rule.tested or {}
  rule.tested[version or "all"] = true
end

-- One tag found in a test; false when it names no rule.
local function mark(by_id, id, version, place)
  local hit = false
  for _, rule in ipairs(by_id[id] or {}) do
    if not version or rule.version == version or rule.version == "both" then
      count(rule, place, version)
      hit = true
    end
  end
  return hit
end

local function scan(by_id)
  local strangers = {}
  local find = "find '%s/tests' -name '*.c' -o -name '*.lua' -o -name '*.py' | sort"
  for path in io.popen(find:format(root)):lines() do
    local short = path:sub(#root + 2)
    if not short:find("^tests/tree/") and not short:find("^tests/scenario/lib/") then
      local file = assert(io.open(path))
      local text = file:read("a")
      file:close()
      for id, after in text:gmatch("(MQTT%-[%dV][%d%.]*%-%d+)(/?[%d%.]*)") do
        local version = after:match("^/(%d[%d%.]*%d)$") or after:match("^/(%d)$")
        if not mark(by_id, id, version, short:sub(7)) then
          strangers[#strangers + 1] = ("%s: %s%s is no rule"):format(short, id, after)
        end
      end
    end
  end
  return strangers
end

-- A rule for both versions needs a test in both.
local function is_tested(rule)
  local t = rule.tested
  if not t then return false end
  return rule.version ~= "both" or t.all or (t["3.1.1"] and t["5"])
end

local function read_exceptions(by_id)
  local strangers = {}
  for _, row in ipairs(rows(root .. "/tests/tree/coverage-exceptions.tsv")) do
    local found = false
    for _, rule in ipairs(by_id[row[1]] or {}) do
      if suffixes[row[2]] == rule.version then
        rule.reason, found = row[3], true
      end
    end
    if not found then strangers[#strangers + 1] = "exception for " .. row[1]
      .. ", which is no rule" end
  end
  return strangers
end

local list, by_id = read_rules()
local wrong = scan(by_id)
table.move(read_exceptions(by_id), 1, 1000, #wrong + 1, wrong)

local tested, excused, holes = 0, 0, 0
for _, rule in ipairs(list) do
  local status
  if is_tested(rule) then
    tested, status = tested + 1, table.concat(rule.where, " ")
    if rule.reason then
      wrong[#wrong + 1] = ("%s (%s) has a test and an exception"):format(rule.id, rule.version)
    end
  elseif rule.reason then
    excused, status = excused + 1, "not tested: " .. rule.reason
  else
    holes, status = holes + 1, "HOLE"
  end
  if not holes_only or status == "HOLE" then
    print(("%-14s %-5s %-11s %s\n%35s%s"):format(rule.id, rule.version, rule.area, rule.text, "",
      status))
  end
end
for _, text in ipairs(wrong) do print(text) end
print(("coverage: %d rules, %d tested, %d with a reason why not, %d holes"):format(#list, tested,
  excused, holes))
os.exit(holes == 0 and #wrong == 0)
