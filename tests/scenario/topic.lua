-- Topic names and filters: what is valid, what matches what.

local function matches(t, filter, yes, no)
  local b = t:broker()
  local c = b:join()
  c:subscribe(filter)
  for _, topic in ipairs(yes) do
    c:publish { topic = topic, payload = topic }
    c:receive { topic = topic }
  end
  for _, topic in ipairs(no) do c:publish { topic = topic, payload = topic } end
  c:expect_nothing()
  c:disconnect()
end

story.both("# matches its parent and everything below",
  "MQTT-3.3.2-3 MQTT-4.7.1-2/3.1.1 MQTT-4.7.1-1/5", function(t)
  local x = t.topic
  matches(t, x .. "/#", { x, x .. "/", x .. "/a", x .. "/a/b", x .. "//", x .. "/a/b/c/d/e/f" },
    { x .. "a", x .. "a/b", "/" .. x, x:sub(1, -2) .. "/a" })
end)

story.both("+ matches one level, empty ones too", "MQTT-3.3.2-3 MQTT-4.7.1-3/3.1.1 MQTT-4.7.1-2/5",
  function(t)
  local x = t.topic
  matches(t, x .. "/+", { x .. "/a", x .. "/", x .. "/ " }, { x, x .. "/a/b", x .. "//", x
    .. "/a/" })
  matches(t, x .. "/+/b", { x .. "/a/b", x .. "//b" }, { x .. "/b", x .. "/a/c", x .. "/a/b/c", x
    .. "/a/b/" })
  matches(t, "+/" .. x, { "a/" .. x, "/" .. x }, { x, "a/b/" .. x })
  matches(t, x .. "/+/+", { x .. "//", x .. "/a/b" }, { x .. "/", x .. "/a", x .. "/a/b/c" })
end)

story.both("+ and # go together", "MQTT-3.3.2-3 MQTT-4.7.1-3/3.1.1 MQTT-4.7.1-2", function(t)
  local x = t.topic
  matches(t, x .. "/+/#", { x .. "/a", x .. "/a/b", x .. "/" }, { x })
  matches(t, "+/" .. x .. "/+/c/#", { "q/" .. x .. "/b/c", "q/" .. x .. "/b/c/d" }, { "q/" .. x
    .. "/b/d/c" })
end)

story.both("an exact filter matches its topic alone", "MQTT-3.3.2-3 MQTT-4.7.3-4", function(t)
  local x = t.topic
  matches(t, x .. "/a", { x .. "/a" }, { x .. "/A", x .. "/a/", "/" .. x .. "/a", x .. "//a", x
    .. "/a ", x })
  matches(t, x .. "/", { x .. "/" }, { x, x .. "//" })
  matches(t, "/" .. x, { "/" .. x }, { x })
  -- composed and decomposed letters look alike and are different
  matches(t, x .. "/\u{e9}", { x .. "/\u{e9}" }, { x .. "/e\u{301}" })
end)

story.both("a lone / and topics of slashes only", "MQTT-4.7.3-1 MQTT-3.3.2-3", function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe("/")
  c:subscribe("//")
  local p = b:join()
  p:publish { topic = "/", payload = t.topic, qos = 1 }
  p:publish { topic = "//", payload = t.topic, qos = 1 }
  local wants = { [t.topic .. "/"] = true, [t.topic .. "//"] = true }
  while next(wants) do
    local m = c:receive() -- the other version's story publishes there too
    wants[m.payload .. m.topic] = nil
  end
end)

story.both("# and + at the start do not match topics that begin with $", "MQTT-4.7.2-1", function(t)
  local b = t:broker()
  local c = b:join()
  c:subscribe("+/" .. t.topic .. "/#")
  c:subscribe("#")
  local p = b:join()
  p:publish { topic = "$hidden/" .. t.topic .. "/x", payload = "hidden", qos = 1 }
  p:publish { topic = "seen/" .. t.topic .. "/x", payload = "seen " .. t.topic, qos = 1 }
  repeat
    local m = c:receive()
    t:check(m.topic:sub(1, 1) ~= "$", "%s came by a leading wildcard", m.topic)
  until m.payload == "seen " .. t.topic
  c:unsubscribe("#")
  c:ping()
  c.inbox = {}
  c:subscribe("$hidden/" .. t.topic .. "/#")
  c:subscribe("$hidden/+/y")
  p:publish { topic = "$hidden/" .. t.topic .. "/x", payload = "named", qos = 1 }
  c:receive { payload = "named" }
end)

story.both("a $ further in is a character like others", "MQTT-4.7.2-1", function(t)
  local x = t.topic
  matches(t, x .. "/#", { x .. "/$a", x .. "/$SYS/b" }, {})
  matches(t, x .. "/+/b", { x .. "/$SYS/b" }, {})
end)

story.both("a topic name with a wildcard ends the connection",
  "MQTT-3.3.2-2 MQTT-4.7.1-1/3.1.1 MQTT-4.7.0-1/5", function(t)
  local b = t:broker()
  local watcher = b:join()
  watcher:subscribe(t.topic .. "/#")
  for _, tail in ipairs { "/#", "/+", "/a#", "/+a", "/+/b", "#", "+" } do
    for qos = 0, 1 do
      local c = b:join()
      c:send { "PUBLISH", topic = t.topic .. tail, payload = "x", qos = qos, id = qos > 0 and 1
        or nil }
      c:expect_dropped { 0x81, 0x82, 0x90 }
    end
  end
  watcher:expect_nothing()
end)

local bad_filters = { "a/#/b", "#a", "a#", "a/#b", "##", "#/", "a+", "+a", "a/+b", "a/b+/c", "++" }

story("5: an invalid filter is answered with 0x8F or ends the connection",
  "MQTT-4.7.1-1/5 MQTT-4.7.1-2/5",
  function(t)
  local b = t:broker()
  for _, filter in ipairs(bad_filters) do
    local c = b:join()
    c:send { "SUBSCRIBE", id = 1, filters = { { filter, 0 } } }
    local got = c:try_next()
    t:check(got and (got[1] == "SUBACK" and got.codes[1] == 0x8F
      or got[1] == "DISCONNECT" and (got.reason == 0x8F or got.reason == 0x81)),
      "%s: got %s", filter, require("wire").show(got))
  end
end)

story("3.1.1: an invalid filter is refused or ends the connection",
  "MQTT-4.7.1-2/3.1.1 MQTT-4.7.1-3/3.1.1",
  function(t)
  local b = t:broker()
  for _, filter in ipairs(bad_filters) do
    local c = b:join { version = 4 }
    c:send { "SUBSCRIBE", id = 1, filters = { { filter, 0 } } }
    local got = c:try_next()
    t:check(not got or got[1] == "SUBACK" and got.codes[1] == 0x80, "%s: got %s", filter,
      require("wire").show(got))
  end
end)

story.both("an empty filter ends the connection or is refused", "MQTT-4.7.3-1", function(t, version)
  local b = t:broker()
  local c = b:join()
  c:send { "SUBSCRIBE", id = 1, filters = { { "", 0 } } }
  local got = c:try_next()
  t:check(not got and version == 4 or got and (got[1] == "DISCONNECT"
    or got[1] == "SUBACK" and got.codes[1] >= 0x80), "got %s", require("wire").show(got))
  c = b:join()
  c:send { "UNSUBSCRIBE", id = 1, filters = { "" } }
  got = c:try_next() -- UNSUBACK of 3.1.1 knows no failure
  t:check(not got and version == 4 or got and (got[1] == "DISCONNECT" or got[1] == "UNSUBACK"
    and (version == 4 or got.codes[1] == 0x8F)), "got %s", require("wire").show(got))
end)

story.both("names and filters of 65535 bytes are carried whole", "MQTT-4.7.3-3", function(t)
  local c = t:broker():join()
  local long = t.topic .. ("x"):rep(65535 - #t.topic)
  c:subscribe(long)
  c:publish { topic = long, payload = "long" }
  c:receive { topic = long, payload = "long" }
  c:publish { topic = long:sub(1, -2) .. "y", payload = "differs in the last byte" }
  c:expect_nothing()
  c:unsubscribe(long)
  c:publish { topic = long, payload = "gone" }
  c:expect_nothing()
end)

story.both("200 levels are taken, more are refused", "MQTT-4.7.3-3", function(t, version)
  local b = t:broker()
  local c = b:join()
  local deep = t.topic .. ("/x"):rep(199)
  c:subscribe(deep)
  c:subscribe(t.topic .. ("/+"):rep(199), 0)
  c:publish { topic = deep, payload = "deep" }
  c:receive { topic = deep }
  c:expect_nothing()
  c:send { "PUBLISH", topic = deep .. "/x", payload = "too deep", qos = 1, id = 9 }
  local got = c:try_next()
  if version == 4 then
    t:check(not got or got[1] == "PUBACK", "got %s", require("wire").show(got))
  else
    t:check(got and got.reason and got.reason >= 0x80, "got %s", require("wire").show(got))
  end
end)

story.both("matching goes on beside thousands of other filters", "MQTT-3.3.2-3", function(t)
  local b = t:broker()
  local c = b:join()
  local filters = {}
  for i = 1, 3000 do
    filters[#filters + 1] = { ("%s/%d/%s"):format(t.topic, i, i % 3 == 0 and "+" or i % 3 == 1
      and "#" or "x"), 0 }
    if #filters == 500 then
      c:subscribe(filters)
      filters = {}
    end
  end
  for _, i in ipairs { 1, 2, 3, 1499, 1500, 2998, 2999, 3000 } do
    c:publish { topic = ("%s/%d/x"):format(t.topic, i), payload = tostring(i) }
    c:receive { payload = tostring(i) }
    c:expect_nothing()
  end
end)
