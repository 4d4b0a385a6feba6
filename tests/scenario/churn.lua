-- Coming and going: nothing is left behind.

-- Opens clients, lets them subscribe, publish and leave in all ways.
local function churn(t, b, count)
  for i = 1, count do
    local version = 3 + i % 3
    local c = b:join { version = version, id = t.topic .. "/" .. i % 50, clean_start = i % 2 == 0,
      properties = { session_expiry = i % 5 == 0 and 1 or 0, topic_alias_maximum = 4 },
      will = i % 4 == 0 and { topic = t.topic .. "/will", payload = "x" } or nil }
    c:subscribe { { t.topic .. "/" .. i % 20, i % 3 }, { t.topic .. "/+/" .. i, 1 } }
    if version == 5 then c:subscribe { { "$share/g/" .. t.topic .. "/" .. i % 20, 1 },
      properties = { subscription_id = i } } end
    c:publish { topic = t.topic .. "/" .. (i + 7) % 20, payload = ("x"):rep(i % 300), qos = i % 3,
      retain = i % 10 == 0 }
    if i % 3 == 0 then c:unsubscribe(t.topic .. "/" .. i % 20) end
    if i % 4 == 0 then c:abort() elseif i % 4 == 1 then c:close() else
      c:send { "DISCONNECT" }
      c:close()
    end
  end
  -- sessions that were stored, and retained messages, go too
  for i = 0, 49 do b:join { version = 4, id = t.topic .. "/" .. i,
    clean_start = true }:disconnect() end
  local c = b:join()
  for i = 0, 19 do c:publish { topic = t.topic .. "/" .. i, payload = "", retain = true,
    qos = 1 } end
  c:disconnect()
end

story("after churn memory and descriptors are back where they were", "MQTT-4.1.0-2", function(t)
  local b = t:own_broker("", { lean = true })
  churn(t, b, 600) -- freelists and caches reach their size
  local function settled_fds()
    local deadline, n = t:now() + 5, nil
    repeat
      b:join():disconnect()
      n = b:fd_count()
    until n <= (t.base or n) or t:now() > deadline
    return n
  end
  t.base = nil
  t.base = settled_fds()
  local rss = b:rss()
  churn(t, b, 1800)
  local fds, grown = settled_fds(), b:rss() - rss
  t:check(fds <= t.base, "%d descriptors, %d before", fds, t.base)
  t:check(grown < 6000, "resident memory grew by %d KB", grown)
end, { alone = true })

story("a thousand clients come and go at once", "MQTT-4.1.0-2", function(t)
  local b = t:own_broker()
  local all = {}
  for i = 1, 1000 do all[i] = b:client { id = t.topic .. i } end
  for _, c in ipairs(all) do c:expect { "CONNACK", reason = 0 } end
  -- Counted downwards from here: whoever counts before the clients come may count a
  -- descriptor that is just being closed.
  local full = b:fd_count()
  t:check(full >= 1000, "only %d descriptors", full)
  for i, c in ipairs(all) do
    if i % 2 == 0 then c:abort() else c:close() end
  end
  local deadline = t:now() + 30
  while b:fd_count() > full - 1000 do
    t:check(t:now() < deadline, "%d descriptors are left over", b:fd_count() - (full - 1000))
    b:join():disconnect()
  end
end, { alone = true })
