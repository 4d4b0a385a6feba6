-- Compares today's headers with those of an earlier SDK of the same major version: nothing that a
-- module was compiled with may have moved.
--
--     lua5.4 tests/abi/layout.lua OLD_INCLUDE_DIR NEW_INCLUDE_DIR
--
--   - each member of each struct has the offset and the size that it had
--   - a struct without a `size` in front has the size that it had, for there are arrays of such
--   - each enumerator has its value
--   - each function is declared as it was
local old_dir, new_dir = arg[1], arg[2]
local cc = os.getenv "CC" or "cc"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()
  return text
end

-- All headers of a folder but test.h, whose library is linked to tests, not to modules.
local function headers(dir)
  local names, texts = {}, {}
  for name in io.popen(("ls '%s/skep'"):format(dir)):lines() do
    if name ~= "test.h" then
      names[#names + 1] = name
      texts[#texts + 1] = read(dir .. "/skep/" .. name)
    end
  end
  return names, (table.concat(texts, "\n"):gsub("/%*.-%*/", " "))
end

-- "a, *b, c[4]" behind a type; or one function pointer.
local function member_names(declaration)
  local pointer = declaration:match "%(%s*%*%s*([%w_]+)%s*%)"
  if pointer then return { pointer } end
  local names = {}
  for part in declaration:gmatch "[^,]+" do
    names[#names + 1] = part:gsub("%[.-%]", ""):match "([%w_]+)%s*$"
  end
  return names
end

local function structs(text)
  local list = {}
  for name, body in text:gmatch "struct%s+(skep_[%w_]+)%s*(%b{})%s*;" do
    local members = {}
    for declaration in body:sub(2, -2):gmatch "[^;]+" do
      for _, member in ipairs(member_names(declaration)) do members[#members + 1] = member end
    end
    list[#list + 1] = { name = name, members = members }
  end
  return list
end

local function enumerators(text)
  local names = {}
  for body in text:gmatch "enum%s*[%w_]*%s*(%b{})%s*;" do
    for name in body:sub(2, -2):gmatch "(SKEP_[%w_]+)%s*[,=}]?" do
      if not name:find "^SKEP_EVENT_" then names[#names + 1] = name end
    end
  end
  for name in text:match "#define SKEP_EVENT_LIST%(X%)(.-)\n\n":gmatch "X%(([%w_]+)%)" do
    names[#names + 1] = "SKEP_EVENT_" .. name
  end
  return names
end

local function functions(text)
  local map, count = {}, 0
  for declaration in text:gsub("#[^\n]*", ""):gmatch "SKEP_EXPORT%s+([^;{]-)%s*;" do
    local name = declaration:match "([%w_]+)%s*%("
    if name then
      map[name] = declaration:gsub("%s+", " ")
      count = count + 1
    end
  end
  return map, count
end

-- Values of C expressions with these headers.
local function values(dir, names, expressions)
  local base = os.tmpname()
  local source = assert(io.open(base .. ".c", "w"))
  source:write("#include <stdio.h>\n")
  for _, name in ipairs(names) do source:write(("#include <skep/%s>\n"):format(name)) end
  source:write("int main(void)\n{\n")
  for _, e in ipairs(expressions) do source:write(("printf(\"%%lld\\n\", (long long)(%s));\n"):format(e)) end
  source:write("return 0;\n}\n")
  source:close()
  local built = os.execute(("%s -w -I '%s' '%s.c' -o '%s.out'"):format(cc, dir, base, base))
  local list = {}
  if built then
    for line in io.popen(base .. ".out"):lines() do list[#list + 1] = tonumber(line) end
  end
  os.remove(base)
  os.remove(base .. ".c")
  os.remove(base .. ".out")
  return built and list
end

local bad = 0
local function complain(...)
  print(string.format(...))
  bad = bad + 1
end

local old_names, old_text = headers(old_dir)
local new_names, new_text = headers(new_dir)
local expressions, checks = {}, {}
local function check(expression, growing)
  expressions[#expressions + 1] = expression
  checks[#checks + 1] = growing or false
end

for _, s in ipairs(structs(old_text)) do
  check(("sizeof(struct %s)"):format(s.name), s.members[1] == "size")
  for _, m in ipairs(s.members) do
    check(("offsetof(struct %s, %s)"):format(s.name, m))
    check(("sizeof(((struct %s *)0)->%s)"):format(s.name, m))
  end
end
for _, name in ipairs(enumerators(old_text)) do check(name) end

local old = assert(values(old_dir, old_names, expressions), "the old headers do not compile")
local new = values(new_dir, new_names, expressions)
if not new then complain("something of the old headers is not in %s any more; see above", new_dir) end
for i, expression in ipairs(expressions) do
  if new and not (new[i] == old[i] or (checks[i] and new[i] > old[i])) then
    complain("%s was %d, and is %d", expression, old[i], new[i])
  end
end

local old_functions, count = functions(old_text)
local new_functions = functions(new_text)
for name, declaration in pairs(old_functions) do
  if not new_functions[name] then
    complain("%s() is gone", name)
  elseif new_functions[name] ~= declaration then
    complain("%s() was\n    %s\nand is\n    %s", name, declaration, new_functions[name])
  end
end
print(("layout: %d figures, %d functions, %d changed"):format(#expressions, count, bad))
os.exit(bad == 0 and #expressions > 200 and count > 100)
