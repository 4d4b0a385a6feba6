-- Keep alive: closing after one and a half times the interval, neither early nor late.

story.all("a silent connection is closed after 1.5 times its keep alive",
  "MQTT-3.1.2-24/3.1.1 MQTT-3.1.2-22/5 MQTT-V31-14 MQTT-3.2.2-22/5", function(t)
  local b = t:broker()
  for _, seconds in ipairs { 1, 2 } do
    local began = t:now()
    local c = b:join { keep_alive = seconds }
    c:expect_dropped(0x8D)
    local took = t:now() - began
    t:check(took >= 1.5 * seconds - 0.01, "closed after %.2f s", took)
    t:check(took < 1.5 * seconds + 1.3, "closed only after %.2f s", took)
  end
end)

story.both("PINGREQ keeps a connection open", "MQTT-3.12.4-1 MQTT-3.1.2-24/3.1.1 MQTT-3.1.2-22/5",
  function(t)
  local c = t:broker():join { keep_alive = 1 }
  for _ = 1, 4 do
    t:pass(0.9)
    c:ping()
  end
end)

story.both("any packet keeps a connection open, what it receives does not",
  "MQTT-3.1.2-24/3.1.1 MQTT-3.1.2-22/5", function(t)
  local b = t:broker()
  local talker, listener, p = b:join { keep_alive = 1 }, b:join { keep_alive = 1 }, b:join()
  listener:subscribe(t.topic, 0)
  local began = t:now()
  for i = 1, 4 do
    t:pass(0.7)
    p:publish { topic = t.topic, payload = tostring(i) }
    talker:publish { topic = t.topic .. "/x", payload = "x", qos = 1 }
  end
  talker:ping()
  while true do
    local got = listener:try_next()
    if not got or got[1] == "DISCONNECT" then break end
  end
  t:check(t:now() - began < 4, "receiving kept the connection open")
end)

story.both("keep alive 0 never closes", "MQTT-3.1.2-24/3.1.1 MQTT-3.1.2-22/5", function(t)
  local c = t:broker():join { keep_alive = 0 }
  t:pass(3)
  c:ping()
end)

story("5: a server keep alive overrides the client's", "MQTT-3.2.2-22/5 MQTT-3.1.2-22/5",
  function(t)
  local b = t:broker "limits { keep_alive_max 1s; }"
  for _, asked in ipairs { 0, 100 } do
    local began = t:now()
    local c = b:join { keep_alive = asked }
    t:equal(c.connack.properties.server_keep_alive, 1, "server keep alive")
    c:expect_dropped(0x8D)
    local took = t:now() - began
    t:check(took >= 1.49 and took < 2.8, "closed after %.2f s", took)
  end
end)

story("5: within the server's maximum the client's keep alive counts and none is sent",
  "MQTT-3.2.2-22/5",
  function(t)
  local b = t:broker "limits { keep_alive_max 100s; }"
  local c = b:join { keep_alive = 1 }
  t:equal(c.connack.properties.server_keep_alive, nil, "server keep alive")
  c:expect_dropped(0x8D)
end)

story.both("a pipe that is open but dead counts as silent: the will is published",
  "MQTT-3.1.2-24/3.1.1 MQTT-3.1.2-22/5 MQTT-3.1.2-8", function(t)
  local b = t:broker()
  local watcher = b:join()
  watcher:subscribe(t.topic)
  b:join { keep_alive = 1, will = { topic = t.topic, payload = "silent" } }
  watcher:receive { payload = "silent" }
end)
