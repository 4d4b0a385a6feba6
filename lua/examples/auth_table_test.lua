local test = require "test"

local function connect(username, password)
  return test.broker { script = "auth_table.lua" }:connect { id = "c", username = username, password = password }
end

test.it("lets in who knows the password", function()
  test.equal(connect("bee", "honey").verdict, "allow")
end)

test.it("refuses the others", function()
  test.equal(connect("bee", "wax").verdict, "deny")
  test.equal(connect("bee", nil).reason, 0x86)
  test.equal(connect("wasp", "honey").verdict, "deny")
end)

test.it("has no opinion about who gives no name", function()
  test.equal(connect(nil, nil).verdict, "next")
end)
