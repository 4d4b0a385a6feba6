-- Brokers that end and start again on the same data directory.
--
--   again.story("name", tags, function(t, restart) ... end)    one for kill -9, one for SIGTERM
--   again.both, again.all                                      as story.both and story.all
--   restart(b)                            ends the broker, starts it, and checks its ledger
local again = {}

local ways = {
  { name = "kill -9", restart = function(b)
    b:kill()
    b:restart()
    b:check_ledger()
  end },
  { name = "SIGTERM", restart = function(b)
    b:restart() -- stops it first, which must succeed
    b:check_ledger()
  end },
}

-- Without a word, for stories that are about a crash only.
again.crash = ways[1].restart

local function each_way(kind)
  return function(name, tags, fn, options)
    for _, way in ipairs(ways) do
      kind(("%s: %s"):format(name, way.name), tags, function(t, version)
        fn(t, way.restart, version)
      end, options)
    end
  end
end

again.story, again.both, again.all = each_way(story), each_way(story.both), each_way(story.all)

-- What this client has said is on the disk, and so is whatever the broker had noted before it came
-- here: an acknowledged record stands behind it.  What a client hears (PINGRESP, the end of its
-- connection) is no proof of that.
function again.fence(c)
  c:publish { topic = "fence/" .. c.id, payload = "x", qos = 1, retain = true }
end

-- Options of a client whose session is kept.
function again.keep(t, more)
  local o = { id = t.topic, clean_start = false, properties = { session_expiry = 3600 } }
  for k, v in pairs(more or {}) do o[k] = v end
  return o
end

return again
