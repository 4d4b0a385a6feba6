-- For stories about modules: those of tests/modules, and what one does with a broker that has them.
local broker = require "broker"
local program = require "program"
local sched = require "sched"

local modules = {}

modules.folder = (broker.command or ""):gsub("bin/[^/]*$", "tests/modules")

function modules.conf(text) return ("module_path %s;\n%s"):format(modules.folder, text) end

-- Puts a module's file in the place of another in one step, as an upgrade does.
function modules.copy(from, to)
  local f = assert(io.open(modules.folder .. "/" .. from, "rb"))
  local bytes = f:read("a")
  f:close()
  broker.write_file(to .. ".new", bytes)
  assert(os.rename(to .. ".new", to))
end

-- Runs `skep -t` with this configuration; exit status and output.
function modules.try(t, text)
  if broker.mosquitto then t:skip("needs Skep") end
  local dir = host.temp_dir()
  broker.write_file(dir .. "/skep.conf", text)
  local code, out, err = program.run(t, broker.command, "-t", "-c", dir .. "/skep.conf")
  host.remove_tree(dir)
  return code, out .. err
end

-- How often the broker has printed this.
function modules.count(b, pattern)
  local n = 0
  for _ in b.output:gmatch(pattern) do n = n + 1 end
  return n
end

-- `skepctl module call`: the answer as it came.
function modules.call(b, name, ...)
  local words = {}
  for _, w in ipairs { ... } do words[#words + 1] = ('"%s"'):format(w) end
  return b:ask(('{"cmd":"module","do":"call","name":"%s","words":[%s]}'):format(name,
    table.concat(words, ",")))
end

-- The answer, once all that the reload prints has been read.
function modules.reload(b)
  local function ended()
    return modules.count(b, "main: configuration reloaded") + modules.count(b, "main: reload refused")
  end
  local done = ended()
  local answer = b:ask "reload"
  local deadline = host.now() + 20
  while ended() == done do
    if not sched.listen(b.key, deadline) then error("the reload is not in the log", 0) end
  end
  return answer
end

-- Another configuration with the listener it has, not in force yet.
function modules.rewrite(b, text)
  local whole = ("data_dir %s/data;\nthreads 2;\n%s\nlistener mqtt { bind 127.0.0.1:%d; }\n")
    :format(b.dir, text, b.ports.port)
  broker.write_file(b.conf, (whole:gsub("%${dir}", b.dir)))
end

function modules.may_publish(c, topic)
  c:send { "PUBLISH", topic = topic, payload = "x", qos = 1, id = c:take_id() }
  local got = c:expect { "PUBACK" }
  return got.reason == nil or got.reason == 0 or got.reason == 0x10
end

function modules.may_subscribe(c, filter)
  c:send { "SUBSCRIBE", id = c:take_id(), filters = { { filter, 1 } } }
  return c:expect { "SUBACK" }.codes[1] < 0x80
end

return modules
