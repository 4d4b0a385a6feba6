-- The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), written from the RFCs.
--
--   local s = scram.new("alice", "secret")
--   s:first()              the first message
--   s:final(challenge)     the answer to the broker's
--   s:signature()          what the broker must prove then: "v=..."
local scram = {}
scram.__index = scram

local function xor(a, b)
  local out = {}
  for i = 1, #a do out[i] = string.char(a:byte(i) ~ b:byte(i)) end
  return table.concat(out)
end

-- Hi() of the RFC: PBKDF2 with one block.
local function salted(password, salt, count)
  local u = host.hmac_sha256(password, salt .. "\0\0\0\1")
  local a, b, c, d = string.unpack("i8i8i8i8", u)
  for _ = 2, count do
    u = host.hmac_sha256(password, u)
    local e, f, g, h = string.unpack("i8i8i8i8", u)
    a, b, c, d = a ~ e, b ~ f, c ~ g, d ~ h
  end
  return string.pack("i8i8i8i8", a, b, c, d)
end

function scram.new(user, password, options)
  options = options or {}
  return setmetatable({ password = password, header = options.header or "n,,",
    nonce = options.nonce or ("%016x"):format(math.random(0)),
    bare_user = user:gsub("=", "=3D"):gsub(",", "=2C") }, scram)
end

function scram:first()
  self.bare = ("n=%s,r=%s"):format(self.bare_user, self.nonce)
  return self.header .. self.bare
end

-- The broker's challenge in parts: nonce, salt, count.
function scram:read(challenge)
  local nonce, salt, count = challenge:match("^r=([^,]+),s=([^,]+),i=(%d+)$")
  if not nonce then error("this is no challenge: " .. challenge, 0) end
  if nonce:sub(1, #self.nonce) ~= self.nonce or #nonce < #self.nonce + 16 then
    error("the broker's nonce does not continue ours: " .. nonce, 0)
  end
  return nonce, host.unbase64(salt), tonumber(count)
end

function scram:final(challenge)
  local nonce, salt, count = self:read(challenge)
  local unproved = ("c=%s,r=%s"):format(host.base64(self.header), nonce)
  local auth = self.bare .. "," .. challenge .. "," .. unproved
  local password = salted(self.password, salt, count)
  local key = host.hmac_sha256(password, "Client Key")
  local proof = xor(key, host.hmac_sha256(host.sha256(key), auth))
  self.expected = host.hmac_sha256(host.hmac_sha256(password, "Server Key"), auth)
  return unproved .. ",p=" .. host.base64(proof)
end

function scram:signature() return "v=" .. host.base64(self.expected) end

return scram
