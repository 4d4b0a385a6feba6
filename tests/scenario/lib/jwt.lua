-- Keys and tokens made by PyJWT; see jwt_kit.py for what a spec can say.
--
--   local k = jwt.kit(t)
--   local tokens = k:make { keys = { a = "RSA" }, jwks = { ["set.json"] = { "a" } },
--     tokens = { good = { key = "a", alg = "RS256", claims = { sub = "maja", exp_in = 60 } } } }
--   k.dir .. "/a.pem", k:read "set.json"
local backend = require "backend"
local program = require "program"

local jwt = {}
jwt.__index = jwt

function jwt.kit(t)
  local self = setmetatable({ t = t, dir = host.temp_dir() }, jwt)
  table.insert(t.clients, self) -- goes when the story ends
  return self
end

function jwt:make(spec)
  local f = assert(io.open(self.dir .. "/spec.json", "w"))
  f:write(backend.json(spec))
  f:close()
  local code, out, err = program.run(self.t, "/usr/bin/python3", host.root .. "/lib/jwt_kit.py",
    self.dir)
  self.t:check(code == 0, "jwt_kit.py: %s", err)
  local tokens = {}
  for name, token in out:gmatch("(%S+) (%S+)\n") do tokens[name] = token end
  return tokens
end

function jwt:read(name)
  local f = assert(io.open(self.dir .. "/" .. name))
  local text = f:read("a")
  f:close()
  return text
end

function jwt:close() host.remove_tree(self.dir) end

return jwt
