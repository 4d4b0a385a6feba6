-- The rows of the table: what is run, and what it should come to.
--
-- Each row lists its runs in the order they alternate: a name, the peer, the generator's
-- arguments.  `value` names the number taken from each result; less is better for all of them.
-- A target compares two runs of the same row:
--     { "skep", "relay", most = 1.2 }        skep / relay at most 1.2
--     { "mosquitto", "skep", least = 2 }     mosquitto / skep at least 2
--     { "skep", most = 560 }                 the value itself
local rows = {}

local function add(row)
  row.runs = row.runs or {
    { "relay", "relay", row.relay or row.args },
    { "mosquitto", "mosquitto", row.args },
    { "skep", "skep", row.args },
  }
  row.value = row.value or "cpu_us"
  rows[#rows + 1] = row
end

local function against(relay, mosquitto)
  return {
    relay and { "skep", "relay", most = relay },
    mosquitto and { "mosquitto", "skep", least = mosquitto },
  }
end

local function brokers(args)
  return { { "mosquitto", "mosquitto", args }, { "skep", "skep", args } }
end

add { id = "pairs-b1", title = "QoS 0 pairs, b=1", args = "pairs -b 1",
  targets = against(1.2, 2) }
-- The same with several writes on their way: a broker may find more than one in a read.
add { id = "pairs-w8", title = "QoS 0 pairs, b=1, 8 in flight", args = "pairs -b 1 -w 8",
  targets = against(1.2, 2) }
add { id = "pairs-b16", title = "QoS 0 pairs, b=16", args = "pairs -b 16",
  targets = against(1.5, 20) }
add { id = "pairs-4k", title = "QoS 0 pairs 4 KB, b=16", args = "pairs -b 16 -s 4k",
  targets = against(1.3, 7) }
add { id = "fan-in", title = "fan-in 200:1, b=16", args = "fan-in -b 16",
  targets = against(1.5, 12) }
add { id = "fan-out-b1", title = "fan-out 1:1000, b=1", args = "fan-out -b 1",
  targets = against(1.15, 2) }
add { id = "fan-out-b16", title = "fan-out 1:1000, b=16", args = "fan-out -b 16",
  targets = against(1.4, 20) }
add { id = "qos1", title = "QoS 1 pairs, b=16 (relay: QoS 0)", args = "pairs -q 1 -b 16",
  relay = "pairs -b 16", targets = against(3.5, 20) }
add { id = "qos2", title = "QoS 2 pairs, b=16 (own QoS 1)",
  runs = {
    { "own QoS 1", "skep", "pairs -q 1 -b 16" },
    { "mosquitto", "mosquitto", "pairs -q 2 -b 16" },
    { "skep", "skep", "pairs -q 2 -b 16" },
  },
  targets = { { "skep", "own QoS 1", most = 2 }, { "mosquitto", "skep", least = 12 } } }
add { id = "filters-1m", title = "publish, 1M filters, no match", rounds = 1,
  runs = brokers "filters --filters 1m", targets = against(nil, 12),
  also = { { value = "bytes_each", title = "memory a filter at 1M", unit = "B",
    targets = { { "skep", most = 180 } } } } }
add { id = "idle", title = "idle connection, memory (TCP)", value = "bytes_each", unit = "B",
  timeless = true, rounds = 2, runs = brokers "idle -c 9000",
  targets = { { "skep", most = 560 }, { "mosquitto", "skep", least = 1 / 0.76 } } }
add { id = "idle-tls", title = "idle connection, memory (TLS)", value = "bytes_each", unit = "B",
  timeless = true, rounds = 2, runs = brokers "idle -c 1000 --tls",
  targets = { { "skep", most = 15.1 * 1024 }, { "mosquitto", "skep", least = 1 } } }
add { id = "storm", title = "connect and disconnect", runs = brokers "storm",
  targets = against(nil, 1.3) }
add { id = "retained", title = "retained replay of #", timeless = true, rounds = 2,
  runs = brokers "retained", targets = against(nil, 9),
  also = { { value = "bytes_each", title = "memory a retained message", unit = "B",
    targets = { { "mosquitto", "skep", least = 3.5 } } } } }
add { id = "tls-b16", title = "TLS pairs, b=16 (relay: plain)", args = "pairs -b 16 --tls",
  relay = "pairs -b 16", targets = against(2.5, 15) }
add { id = "tls-b1", title = "TLS pairs, b=1", runs = brokers "pairs -b 1 --tls",
  targets = against(nil, 1.7) }
add { id = "mqtt5", title = "MQTT 5 pairs, b=16 (own 3.1.1)",
  runs = {
    { "own 3.1.1", "skep", "pairs -b 16" },
    { "mosquitto", "mosquitto", "pairs -b 16 -V 5" },
    { "skep", "skep", "pairs -b 16 -V 5" },
  },
  targets = { { "skep", "own 3.1.1", most = 1.15 } } }
add { id = "mqtt5-qos1", title = "MQTT 5 QoS 1 pairs, b=16 (own 3.1.1)",
  runs = {
    { "own 3.1.1", "skep", "pairs -b 16 -q 1" },
    { "mosquitto", "mosquitto", "pairs -b 16 -q 1 -V 5" },
    { "skep", "skep", "pairs -b 16 -q 1 -V 5" },
  },
  targets = { { "skep", "own 3.1.1", most = 1.15 } } }

-- What a decision costs: a module that allows each message at once, an access list of 100,000 rules.
add { id = "modules", title = "QoS 0 pairs, b=16: modules (own without)",
  runs = {
    { "own without", "skep", "pairs -b 16" },
    { "allow", "skep-allow", "pairs -b 16" },
    { "acl_file", "skep-acl", "pairs -b 16" },
  },
  targets = { { "allow", "own without", most = 1.05 }, { "acl_file", "own without", most = 1.15 } } }

-- Scripts: loaded but for other topics, and one that reads the topic of every message.
add { id = "scripts", title = "QoS 0 pairs, b=16: scripts (own without)",
  runs = {
    { "own without", "skep", "pairs -b 16" },
    { "examples", "skep-examples", "pairs -b 16" },
    { "reads", "skep-reads", "pairs -b 16" },
  },
  targets = { { "examples", "own without", most = 1.05 } } }

-- No targets: worth watching.
add { id = "ws-b16", title = "WebSocket pairs, b=16", runs = brokers "pairs -b 16 --ws /mqtt" }
add { id = "pairs-64k", title = "QoS 0 pairs 64 KB, b=1", args = "pairs -n 20 -s 64k" }
add { id = "tls-resume", title = "TLS connect, resumed", runs = brokers "storm --tls --resume" }
add { id = "filters-1k", title = "publish, 1k filters, match",
  runs = brokers "filters --filters 1k --match" }
add { id = "filters-100k", title = "publish, 100k filters, match",
  runs = brokers "filters --filters 100k --match" }
add { id = "filters-exact", title = "publish, 100k exact filters, match",
  runs = brokers "filters --filters 100k --match --shape exact",
  also = { { value = "bytes_each", title = "memory an exact filter", unit = "B" } } }
add { id = "latency", title = "p99 at 10k a second", value = "p99_us", args = "latency -r 10k",
  also = { { value = "p50_us", title = "p50 at 10k a second" },
    { value = "p999_us", title = "p99.9 at 10k a second" } } }

-- Two loops.  With a core each, the busier one is the limit: what two can carry, over what one can,
-- is the cost on the only loop over the cost on the busiest.  Half the pairs cross between loops.
for _, kind in ipairs { { "q0", "QoS 0", "pairs -b 16" }, { "q1", "QoS 1", "pairs -q 1 -b 16" } } do
  add { id = "loops-" .. kind[1], title = "two loops, " .. kind[2] .. " pairs b=16: busiest loop",
    value = "busiest_us", cores = "all",
    runs = { { "one loop", "skep", kind[3] }, { "skep", "skep-2", kind[3] } },
    targets = { { "one loop", "skep", least = 1.7 } },
    also = { { value = "us_per_message", title = "elapsed us, sharing 2 cores with the generator",
      targets = { { "one loop", "skep", least = 1 } } } } }
end


-- The same with a script: two loops have two Luas, which share nothing.
add { id = "scripts-loops", title = "two loops, scripted QoS 0 pairs b=16: busiest loop",
  value = "busiest_us", cores = "all",
  runs = { { "one loop", "skep-reads", "pairs -b 16" }, { "skep", "skep-reads-2", "pairs -b 16" } },
  targets = { { "one loop", "skep", least = 1.6 } } }

return rows
