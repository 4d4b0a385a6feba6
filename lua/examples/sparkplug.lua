-- Sparkplug B routes by topic: spBv1.0/GROUP/TYPE/NODE[/DEVICE]. Births and deaths make a retained state for everybody
-- who has no Sparkplug host; commands are for hosts only; types that are none are refused.
local broker = require "broker"

local states = { NBIRTH = "online", DBIRTH = "online", NDEATH = "offline", DDEATH = "offline" }
local data = { NDATA = true, DDATA = true }
local commands = { NCMD = true, DCMD = true }

broker.on_publish("spBv1.0/{group}/{type}/{rest...}", function(msg, at)
  if states[at.type] then
    broker.publish {
      topic = ("state/%s/%s"):format(at.group, at.rest),
      payload = states[at.type],
      qos = 1,
      retain = true,
    }
  elseif commands[at.type] then
    if msg.client.attributes.role ~= "host" then
      msg:deny("only a Sparkplug host sends commands")
    end
  elseif not data[at.type] then
    msg:deny("'" .. at.type .. "' is no Sparkplug message type", 0x90)
  end
end)
