-- Reads JSON: what the control socket answers.  null becomes nil.
local M = {}

local escapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local value

local function fail(text, at) error(("no JSON at byte %d: %s"):format(at, text:sub(at, at + 20)), 0) end

local function skip(text, at) return text:find("[^ \t\r\n]", at) or #text + 1 end

local function string_at(text, at)
  local stop = at + 1
  while text:sub(stop, stop) ~= '"' do
    if stop > #text then fail(text, at) end
    stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1)
  end
  local raw = text:sub(at + 1, stop - 1):gsub("\\u(%x%x%x%x)",
    function(hex) return utf8.char(tonumber(hex, 16)) end)
  return raw:gsub("\\(.)", function(c) return escapes[c] or c end), stop + 1
end

-- Members or items up to the closing bracket.
local function list_at(text, at, close, one)
  at = skip(text, at + 1)
  while text:sub(at, at) ~= close do
    at = skip(text, one(at))
    local next = text:sub(at, at)
    if next == "," then
      at = skip(text, at + 1)
    elseif next ~= close then
      fail(text, at)
    end
  end
  return at + 1
end

function value(text, at)
  at = skip(text, at)
  local first = text:sub(at, at)
  if first == '"' then return string_at(text, at) end
  if first == "[" then
    local list, n = {}, 0
    local stop = list_at(text, at, "]", function(i)
      n = n + 1
      list[n], i = value(text, i)
      return i
    end)
    return list, stop
  end
  if first == "{" then
    local object = {}
    local stop = list_at(text, at, "}", function(i)
      local key
      key, i = string_at(text, i)
      i = skip(text, i)
      if text:sub(i, i) ~= ":" then fail(text, i) end
      object[key], i = value(text, i + 1)
      return i
    end)
    return object, stop
  end
  for word, v in pairs { ["true"] = true, ["false"] = false } do
    if text:sub(at, at + #word - 1) == word then return v, at + #word end
  end
  if text:sub(at, at + 3) == "null" then return nil, at + 4 end
  local number = text:match("^-?%d+%.?%d*[eE]?[-+]?%d*", at)
  if not number then fail(text, at) end
  return tonumber(number), at + #number
end

function M.decode(text) return (value(text, 1)) end

return M
