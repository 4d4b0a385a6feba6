-- Properties that travel with messages, and the answers clients ask for.  MQTT 5.

story("5: properties of a message arrive unaltered, user properties in order",
  "MQTT-3.3.2-4/5 MQTT-3.3.2-15/5 MQTT-3.3.2-16/5 MQTT-3.3.2-17/5 MQTT-3.3.2-18/5 MQTT-3.3.2-20/5",
    function(t)
  local b = t:broker()
  local c, p = b:join(), b:join()
  c:subscribe(t.topic, 2)
  local all = {
    payload_format = 1, content_type = "text/plain; charset=\u{e9}", response_topic = "reply/to me",
    correlation_data = "\0\xff\x80 bytes", user = { { "z", "1" }, { "a", "2" }, { "z", "1" }, { "",
      "" }, { "b", "\u{1F600}" } },
  }
  for qos = 0, 2 do
    p:publish { topic = t.topic, payload = "text", qos = qos, properties = all }
    c:receive { payload = "text", properties = all }
  end
  for name, value in pairs(all) do
    p:publish { topic = t.topic, payload = "x", properties = { [name] = value } }
    local got = c:receive { properties = { [name] = value } }
    for other in pairs(got.properties) do t:equal(other, name, "a property that came") end
  end
  p:publish { topic = t.topic, payload = "x", properties = { payload_format = 0 } }
  local got = c:receive()
  t:check((got.properties.payload_format or 0) == 0, "the payload format changed")
end)

story("5: empty and long values travel too", "MQTT-3.3.2-17/5 MQTT-3.3.2-16/5", function(t)
  local c = t:broker():join()
  c:subscribe(t.topic)
  local long = ("v"):rep(65535)
  c:publish { topic = t.topic, properties = { correlation_data = "", content_type = "",
    user = { { "k", long } } } }
  local p = c:receive()
  t:equal(p.properties.correlation_data, "", "correlation data")
  t:equal(p.properties.content_type, "", "content type")
  t:check(p.properties.user[1][2] == long, "a long value was cut")
  local many = {}
  for i = 1, 300 do many[i] = { "key " .. i, ("x"):rep(i) } end
  c:publish { topic = t.topic, properties = { user = many } }
  p = c:receive()
  t:equal(#p.properties.user, 300, "the number of user properties")
  for i = 1, 300 do t:equal(p.properties.user[i][1], "key " .. i, "user property") end
end)

story("5: properties reach the members of a stored session too", "MQTT-3.3.2-17/5 MQTT-3.3.2-18/5",
  function(t)
  local b = t:broker()
  local keep = { id = t.topic, clean_start = false, properties = { session_expiry = 60 } }
  local c = b:join(keep)
  c:subscribe(t.topic, 1)
  c:disconnect()
  local all = { content_type = "c", response_topic = "r", correlation_data = "d", user = { { "b",
    "" }, { "a", "" } } }
  b:join():publish { topic = t.topic, payload = "x", qos = 1, properties = all }
  c = b:join(keep)
  c:receive { payload = "x", properties = all }
end)

story("a 3.1.1 subscriber gets the message without properties, and the other way round",
  "MQTT-7.0.0-2/3.1.1",
  function(t)
  local b = t:broker()
  local old, new = b:join { version = 4 }, b:join { version = 5 }
  old:subscribe(t.topic, 1)
  new:subscribe(t.topic, 1)
  new:publish { topic = t.topic, payload = "from 5", qos = 1,
    properties = { content_type = "text" } }
  old:receive { payload = "from 5", topic = t.topic }
  new:receive { payload = "from 5", properties = { content_type = "text" } }
  old:publish { topic = t.topic, payload = "from 3.1.1", qos = 1 }
  old:receive { payload = "from 3.1.1" }
  local p = new:receive { payload = "from 3.1.1" }
  t:equal(next(p.properties), nil, "a property")
end)

story("5: a response topic or content type that is not UTF-8 is malformed",
  "MQTT-3.3.2-13/5 MQTT-3.3.2-19/5 MQTT-1.5.4-1/5", function(t)
  local b = t:broker()
  for _, name in ipairs { "response_topic", "content_type" } do
    for _, bad in ipairs { "\xff", "\xed\xa0\x80", "a\0", "\xc0\x80" } do
      local c = b:join()
      c:send { "PUBLISH", topic = t.topic, properties = { [name] = bad } }
      c:expect_dropped { 0x81, 0x82, 0x90 }
    end
  end
end)

story("5: a response topic with wildcards is an error", "MQTT-3.3.2-14/5 MQTT-4.7.0-1/5",
  function(t)
  local b = t:broker()
  for _, bad in ipairs { "a/#", "+", "a/+/b", "#" } do
    local c = b:join()
    c:send { "PUBLISH", topic = t.topic, properties = { response_topic = bad } }
    c:expect_dropped { 0x81, 0x82, 0x90 }
  end
end)

story("5: no response information unless asked for", "MQTT-3.1.2-28/5", function(t)
  local b = t:broker()
  local c = b:join()
  t:equal(c.connack.properties.response_information, nil, "response information")
  c = b:join { properties = { request_response = 0 } }
  t:equal(c.connack.properties.response_information, nil, "response information")
end)

story("5: response information is told to those who ask, where it is configured", "MQTT-3.1.2-28/5", function(t)
  local b = t:broker 'limits { response_information "reply/"; }'
  local c = b:join { id = t.topic, properties = { request_response = 1 } }
  t:equal(c.connack.properties.response_information, "reply/" .. t.topic, "response information")
  c = b:join()
  t:equal(c.connack.properties.response_information, nil, "not asked for")
  c = b:join { id = t.topic .. "/#", properties = { request_response = 1 } }
  t:equal(c.connack.properties.response_information, nil, "an id that would be a wildcard")
  c = b:join { id = ("x"):rep(5000), properties = { request_response = 1 } }
  t:equal(c.connack.properties.response_information, nil, "an id that would not fit")
end)

story("5: request problem information 0 keeps explanations out of acknowledgements",
  "MQTT-3.1.2-29/5", function(t)
  -- the stories' rules raise on a reason string or user property; here are the ways to earn one
  local b = t:broker()
  local c = b:join { properties = { request_problem = 0 } }
  c:subscribe { { "a/#/b", 0 }, { t.topic, 1 }, { "$share/x", 0 }, refused = true }
  c:unsubscribe("never/subscribed")
  c:publish { topic = t.topic .. "/none", payload = "x", qos = 1 }
  c:send { "PUBREL", id = 77 }
  c:await { "PUBCOMP", id = 77, reason = 0x92 }
  c:send { "PUBREC", id = 78 }
  c:await { "PUBREL", id = 78, reason = 0x92 }
  c:publish { topic = "$SYS/forged", payload = "x", qos = 1 }
  c:publish { topic = t.topic, payload = "x", properties = { user = { { "a", "b" } } } }
  c:receive { properties = { user = { { "a", "b" } } } }
end)

story("5: AUTH from a client without a method is a protocol error",
  "MQTT-4.12.0-7/5 MQTT-4.12.0-6/5", function(t)
  local b = t:broker()
  for _, reason in ipairs { 0x00, 0x18, 0x19 } do
    local c = b:join()
    c:send { "AUTH", reason = reason, properties = { auth_method = "x" } }
    c:expect_dropped(0x82)
  end
  local c = b:join()
  c:send { "AUTH" }
  c:expect_dropped(0x82)
end)

story("5: an unknown authentication method is refused",
  "MQTT-4.12.0-1/5 MQTT-4.12.0-4/5 MQTT-3.1.4-2/5", function(t)
  local c = t:broker():client { properties = { auth_method = "NO-SUCH-METHOD", auth_data = "x" } }
  c:expect { "CONNACK", reason = 0x8C, session_present = false }
  c:expect_closed()
end)

story("5: without a method in CONNECT there is none in CONNACK", "MQTT-4.12.0-6/5", function(t)
  local c = t:broker():join()
  t:equal(c.connack.properties.auth_method, nil, "authentication method")
  t:equal(c.connack.properties.auth_data, nil, "authentication data")
end)
