-- Reads the public headers into a list of what they declare, for docs/sdk/reference.lua and
-- tests/tree/headers.lua.  It knows the headers' habits, not C: comments are /* */, a
-- declaration ends with a semicolon outside of braces, a section is a comment that begins "--".
local headers = {}

-- The order in which one reads them; all must be here.
headers.order = { "base", "module", "option", "decide", "client", "message", "event", "loop", "http", "storage", "metric",
  "command", "test" }

-- The text of a comment without its marks; indented lines keep their indentation.
local function comment_text(raw)
  local lines = {}
  for line in (raw:gsub("^/%*", ""):gsub("%*/%s*$", "") .. "\n"):gmatch("(.-)\n") do
    lines[#lines + 1] = (line:gsub("^%s*%*%s?", "", 1):gsub("%s+$", ""))
  end
  lines[1] = lines[1]:gsub("^%s+", "")
  while #lines > 0 and lines[#lines] == "" do lines[#lines] = nil end
  return table.concat(lines, "\n")
end

-- Where the declaration (or #define) that begins at `from` ends.
local function declaration_end(text, from)
  if text:sub(from, from) == "#" then
    local at = from
    repeat
      at = text:find("\n", at, true) or #text
      local continued = text:sub(at - 1, at - 1) == "\\"
      at = at + 1
    until not continued
    return at - 2
  end
  local depth, at = 0, from
  while at <= #text do
    local c = text:sub(at, at)
    if text:sub(at, at + 1) == "/*" then
      at = select(2, text:find("*/", at, true))
    elseif c == "{" then
      depth = depth + 1
    elseif c == "}" then
      depth = depth - 1
      if depth == 0 and not text:find("^%s*[^%s;]*%s*;", at + 1) then return at end
    elseif c == ";" and depth == 0 then
      return at
    end
    at = at + 1
  end
  error("a declaration does not end: " .. text:sub(from, from + 60))
end

local function line_of(text, at)
  return select(2, text:sub(1, at):gsub("\n", "")) + 1
end

local skipped = { "^#ifndef SKEP_%w+_H", "^#define SKEP_%w+_H%s", "^#include", "^#if", "^#else", "^#endif", "^#undef",
  "^SKEP_BEGIN", "^SKEP_END", "^extern SKEP_MODULE" }

local function is_skipped(text, at)
  for _, pattern in ipairs(skipped) do
    if text:find(pattern, at) then return true end
  end
end

-- Names that a declaration exports (SKEP_EXPORT) as functions.
local function exported(code)
  if not code:find("^SKEP_EXPORT") then return nil end
  return code:match("([%w_]+)%s*%(")
end

-- { name, intro, lines, items = { { section = text } | { code, comment, line, export, group } } }
-- A comment counts for every declaration up to the next blank line; `group` is true for those
-- that follow the first.
function headers.read(root, name)
  local path = root .. "/sdk/include/skep/" .. name .. ".h"
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()

  local header = { name = name, path = path, text = text, items = {}, lines = select(2, text:gsub("\n", "")) }
  local intro = assert(text:match("^(/%*.-%*/)"), path .. " does not begin with a comment")
  header.intro = comment_text(intro)
  local at, comment, group = #intro + 1, nil, false
  while true do
    local blank = text:match("^%s*", at)
    if select(2, blank:gsub("\n", "")) > 1 then comment, group = nil, false end
    at = at + #blank
    if at > #text then break end
    if text:sub(at, at + 1) == "/*" then
      local stop = select(2, text:find("*/", at, true))
      local said = comment_text(text:sub(at, stop))
      if said:find("^%-%-") then
        header.items[#header.items + 1] = { section = said }
        comment = said:find("%-%-%s*\n") and said or nil
      else
        comment, group = said, false
      end
      at = stop + 1
    elseif is_skipped(text, at) then
      at = (text:find("\n", at, true) or #text) + 1
      at = at - 1
    else
      local stop = declaration_end(text, at)
      local code = text:sub(at, stop)
      local tail = text:match("^[ \t]*(/%*.-%*/)", stop + 1)
      header.items[#header.items + 1] = { code = code, comment = tail and comment_text(tail) or comment, line = line_of(text, at),
        export = exported(code), group = group and not tail }
      if tail then stop = select(2, text:find("*/", stop, true)) end
      if not tail then group = comment ~= nil end
      at = stop + 1
    end
  end
  return header
end

function headers.all(root)
  local list = {}
  for _, name in ipairs(headers.order) do list[#list + 1] = headers.read(root, name) end
  return list
end

return headers
