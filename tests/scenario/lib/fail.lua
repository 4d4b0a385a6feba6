-- How a story fails: one error value with the place in the story and the whole explanation.
local fail = {}

-- The innermost line of the running code that belongs to a story rather than to lib/.
local function place()
  for level = 3, 60 do
    local info = debug.getinfo(level, "Sl")
    if not info then break end
    local source = info.source
    if source:sub(1, 1) == "@" and not source:find("/scenario/lib/", 1, true) then
      return source:match("([^/]+)$") .. ":" .. info.currentline
    end
  end
  return "?"
end

function fail.raise(text, ...)
  if select("#", ...) > 0 then text = text:format(...) end
  error(setmetatable({ text = text, place = place() }, fail), 0)
end

fail.__tostring = function(f) return f.place .. ": " .. f.text end

-- Ends the story as not applicable here.
function fail.skip(why) error(setmetatable({ text = why, skip = true }, fail), 0) end

function fail.is(value) return getmetatable(value) == fail end

return fail
