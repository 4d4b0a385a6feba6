-- The simplest authentication there is: a table of users with digests of their passwords, and what each may do. For
-- anything larger load auth_file.
local broker = require "broker"
local bytes = require "broker.bytes"

local users = {
  -- printf '%s' 'salt-1:honey' | sha256sum
  bee = { salt = "salt-1", digest = "800b4be2ee300b41135e5e4d3b8cbbf041630e483d8d3c2b8bd8f22415d94928", publish = "hive/%u/#" },
}

local function proved(user, password)
  local digest = bytes.hex_encode(bytes.hash("sha256", user.salt .. ":" .. password))
  return bytes.equal(digest, user.digest)
end

broker.on_connect(function(connect)
  if not connect.username then return end -- the next module decides

  local user = users[connect.username]
  if not user or not proved(user, connect.password or "") then
    return connect:deny("unknown user or wrong password")
  end
  connect:rule("allow", "publish", user.publish)
  connect:rule("deny", "publish", "#")
  connect:allow()
end)
