-- One topic tree moves into another: what devices of the first generation send under plant/... arrives where the
-- second generation expects it. Longest prefix first.
local broker = require "broker"

local moves = {
  { from = "plant/hall1/", to = "site/north/assembly/" },
  { from = "plant/hall2/", to = "site/north/paint/" },
  { from = "plant/", to = "site/other/" },
}

broker.on_publish("plant/{rest...}", function(msg)
  local topic = msg.topic
  for _, move in ipairs(moves) do
    if topic:sub(1, #move.from) == move.from then
      return msg:route(move.to .. topic:sub(#move.from + 1))
    end
  end
end)
