-- Who is asked, and what counts when nobody has an opinion: as far as that is the host's business.
local modules = require "modules"

local conf, try, may_publish, may_subscribe
  = modules.conf, modules.try, modules.may_publish, modules.may_subscribe

story("a module that decides about CONNECT closes the door to all others", "MQTT-3.1.4-2", function(t)
  local b = t:own_broker(conf "load gate { password sesame; }")
  b:join { username = "u", password = "sesame" }:ping()
  b:client { username = "u", password = "open" }:expect_refused { 0x86, 4 }
  b:client { username = "u" }:expect_refused { 0x87, 5 }
  b:client {}:expect_refused { 0x87, 5 }
  b:reload "" -- without the module loopback is open again
  b:wait_output "configuration reloaded"
  b:join():ping()
end)

story("anonymous allow admits whom no module knows", "MQTT-3.1.4-2", function(t)
  local b = t:own_broker(conf "load gate { password sesame; }\nanonymous allow;")
  b:join():ping()
  b:client { username = "u", password = "open" }:expect_refused { 0x86, 4 }
end)

story("a listener for other machines needs something that knows its clients", "MQTT-7.0.0-2/3.1.1",
  function(t)
  local outside = "listener mqtt { bind 0.0.0.0:1; %s }\n"
  local code, text = try(t, outside:format "")
  t:check(code == 1 and text:find("nothing authenticates its clients", 1, true), text)
  local gate = conf "load gate { password a; }\n"
  code, text = try(t, gate .. outside:format "")
  t:equal(code, 0, "with a module that decides about CONNECT: " .. text)
  code, text = try(t, gate .. outside:format "modules none;")
  t:check(code == 1 and text:find("nothing authenticates its clients", 1, true), text)
  code, text = try(t, conf "load probe;\nload list;\nload gate { password a; }\n"
    .. outside:format "modules probe list;")
  t:check(code == 1 and text:find("nothing authenticates its clients", 1, true), text)
  code, text = try(t, conf "load probe;\nload gate:g { password a; }\n" .. outside:format "modules probe gate:g;")
  t:equal(code, 0, text)
end)

story("a module that is not there is one error, not several", "MQTT-7.0.0-2/3.1.1", function(t)
  local code, text = try(t, conf "load nowhere;\nlistener mqtt { bind 0.0.0.0:1; modules nowhere; }\n")
  t:equal(code, 1, "the exit status")
  t:check(text:find("1 error in the configuration", 1, true), text)
end)

story("each listener has its own chain", "MQTT-3.1.4-2", function(t)
  local b = t:own_broker(conf [[
load gate { password one; }
load gate:two { password two; }
listener mqtt { bind 127.0.0.1:${port}; }
listener second { bind 127.0.0.1:${second_port}; modules gate:two; }
listener open { bind 127.0.0.1:${open_port}; modules none; }]])
  local function at(name, password)
    return b:client { port = b.ports[name], username = "u", password = password }
  end
  at("port", "one"):expect { "CONNACK", reason = 0 }
  at("port", "two"):expect_refused { 0x86, 4 } -- the first of the two has the word
  at("second_port", "two"):expect { "CONNACK", reason = 0 }
  at("second_port", "one"):expect_refused { 0x86, 4 }
  at("open_port", "any"):expect { "CONNACK", reason = 0 }
end)

story("acl_default: what nobody has an opinion about", "MQTT-3.3.5-2", function(t)
  for _, case in ipairs {
    { "load list { topics a; }", false }, -- auto: a list is there
    { "load list { topics a; }\nacl_default allow;", true },
    { "load list { topics a; }\nacl_default deny;", false },
    { "acl_default deny;", false },
    { "load probe;", true }, -- auto: nobody decides
    { "", true },
  } do
    local b = t:own_broker(conf(case[1]))
    local c = b:join()
    t:equal(may_publish(c, "b"), case[2], case[1] .. ": publish to b")
    t:equal(may_subscribe(c, "b"), case[2], case[1] .. ": subscribe to b")
    if case[1]:find "list" then
      t:check(may_publish(c, "a"), case[1] .. ": publish to a")
      t:check(may_subscribe(c, "a"), case[1] .. ": subscribe to a")
    end
  end
end)
