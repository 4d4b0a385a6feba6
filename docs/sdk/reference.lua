-- Makes docs/sdk/reference.md from the public headers.
--
--     lua5.4 docs/sdk/reference.lua            writes it
--     lua5.4 docs/sdk/reference.lua --check    fails when it is out of date
local root = arg[0]:match "^(.*)/docs/sdk/[^/]*$" or "."
package.path = root .. "/docs/sdk/?.lua;" .. package.path
local headers = require "headers"

local out = {}
local function put(text, ...)
  out[#out + 1] = select("#", ...) > 0 and text:format(...) or text
end

-- Comments as Markdown: indented lines are code, "   - " lines are a list, the rest is prose.
local function prose(text)
  local lines, code = {}, false
  for line in (text .. "\n"):gmatch "(.-)\n" do
    local item = line:match "^%s*(%- .*)$"
    local indented = line:match "^    (.*)$"
    if item and not code then
      lines[#lines + 1] = item
    elseif indented and (code or lines[#lines] == "" or #lines == 0) then
      if not code then lines[#lines + 1] = "```c" end
      code = true
      lines[#lines + 1] = indented
    elseif line == "" and code then
      lines[#lines + 1] = ""
    else
      if code then
        local last = #lines
        while lines[last] == "" do last = last - 1 end
        table.insert(lines, last + 1, "```")
        code = false
      end
      lines[#lines + 1] = line:gsub("^%s+", "  "):gsub("<(skep/[a-z]+%.h)>", "`%1`")
    end
  end
  if code then lines[#lines + 1] = "```" end
  return table.concat(lines, "\n")
end

local function section_title(text)
  local title = text:gsub("^%-%-%s*", ""):gsub("%s*%-%-%s*$", ""):gsub("%s*%-%-%s*\n", "\n\n")
  local head, rest = title:match "^(.-)[:.]%s+(.*)$"
  if not head or head:find "\n" or #head > 60 then return title:gsub("\n.*", ""), title:match "\n%s*(.*)" end
  return head, (rest:gsub("^%l", string.upper))
end

-- Functions that are written in the header show their first line only.
local function signature(code)
  if code:find "^SKEP_EXPORT " then code = code:gsub("\n            ", "\n") end
  return (code:gsub("^SKEP_EXPORT ", ""):gsub(" *\\\n", " \\\n"):gsub("^(static inline [^{]-)%s*{.*$", "%1;"))
end

-- Declarations that share a comment stand in one block.
local function declarations(items, at)
  local code, comment = { signature(items[at].code) }, items[at].comment
  while items[at + 1] and items[at + 1].group and items[at + 1].comment == comment do
    at = at + 1
    code[#code + 1] = signature(items[at].code)
  end
  put("```c\n%s\n```", table.concat(code, "\n"))
  if comment and not comment:find "^%-%-" then put("%s", prose(comment)) end
  return at
end

local function chapter(header)
  put("## skep/%s.h", header.name)
  put("%s", prose(header.intro))
  local at = 1
  while header.items[at] do
    local item = header.items[at]
    if item.section then
      local title, rest = section_title(item.section)
      put("### %s", title)
      if rest and rest ~= "" then put("%s", prose(rest)) end
    elseif not item.code:find "^#define SKEP_[BE][EN][GD]" then
      at = declarations(header.items, at)
    end
    at = at + 1
  end
end

put "# SDK reference"
put [[Made from `sdk/include/skep/*.h` by `lua5.4 docs/sdk/reference.lua`; do not edit. The headers are the contract, and this is
what they say, in the order in which one reads them. What a comment says holds for all declarations up to the next comment.]]
local all = headers.all(root)
local index = {}
for _, header in ipairs(all) do
  index[#index + 1] = ("- [skep/%s.h](#skep%sh): %s"):format(header.name, header.name, header.intro:match "^(.-)[.:\n]")
end
put("%s", table.concat(index, "\n"))
for _, header in ipairs(all) do chapter(header) end

local made = table.concat(out, "\n\n") .. "\n"
local path = root .. "/docs/sdk/reference.md"
local file = io.open(path)
local there = file and file:read "a"
if there == made then os.exit(true) end
if arg[1] == "--check" then
  io.stderr:write(path, ": out of date; run: lua5.4 docs/sdk/reference.lua\n")
  os.exit(false)
end
assert(io.open(path, "w")):write(made):close()
print("wrote " .. path)
