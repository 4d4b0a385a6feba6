-- Certificates for TLS stories, made by the openssl command once a process:
--   ca.pem; server (localhost), other (other.test), client (alice), revoked (mallory): NAME.pem and
--   NAME.key; crl.pem, in which mallory's certificate is revoked; stranger (a client of another
-- CA).
local fail = require "fail"
local sched = require "sched"

local certs = {}

local EC = { "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes" }

local function openssl(dir, ...)
  local proc = assert(host.spawn { "openssl", dir = dir, ... })
  local text = ""
  while true do
    local bytes, why = proc:read("err")
    if bytes then text = text .. bytes
    elseif why == "closed" then break
    else sched.wait(proc:pipe("err"), "r", host.now() + 10) end
  end
  sched.wait(proc:pidfd(), "r", host.now() + 10)
  local how, code = proc:reap()
  if how ~= "exit" or code ~= 0 then fail.raise("openssl %s: %s", (...), text) end
end

local function words(...)
  local out = {}
  for _, item in ipairs { ... } do
    if type(item) == "table" then table.move(item, 1, #item, #out + 1,
      out) else out[#out + 1] = item end
  end
  return table.unpack(out)
end

local function authority(dir, name)
  openssl(dir, words("req", "-x509", EC, "-keyout", name .. ".key", "-out", name .. ".pem",
    "-days", "30",
    "-subj", "/CN=" .. name))
end

local function issue(dir, ca, name, subject, serial, alt)
  openssl(dir, words("req", "-x509", "-CA", ca .. ".pem", "-CAkey", ca .. ".key", EC, "-keyout",
    name .. ".key",
    "-out", name .. ".pem", "-days", "30", "-set_serial", tostring(serial), "-subj", subject,
    "-addext", "basicConstraints=critical,CA:FALSE", alt and { "-addext", "subjectAltName="
      .. alt } or {}))
end

local function write(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

local function revoke(dir)
  write(dir .. "/index.txt", "R\t491231235959Z\t240101000000Z\t1004\tunknown\t/CN=mallory\n")
  write(dir .. "/ca.cnf", "[ca]\ndefault_ca = c\n[c]\ndatabase = index.txt\ndefault_md = sha256\n"
    .. "default_crl_days = 30\n")
  openssl(dir, "ca", "-config", "ca.cnf", "-gencrl", "-keyfile", "ca.key", "-cert", "ca.pem",
    "-out", "crl.pem")
end

local ready, making

-- The directory with everything above.
function certs.dir()
  while making do sched.listen(certs, host.now() + 30) end
  if ready then return ready end
  making = true
  local dir = host.temp_dir()
  authority(dir, "ca")
  authority(dir, "foreign")
  issue(dir, "ca", "server", "/CN=localhost", 4097, "DNS:localhost,IP:127.0.0.1")
  issue(dir, "ca", "other", "/CN=other.test", 4098, "DNS:other.test")
  issue(dir, "ca", "client", "/O=hive/CN=alice", 4099)
  issue(dir, "ca", "revoked", "/CN=mallory", 4100)
  issue(dir, "foreign", "stranger", "/CN=stranger", 4101)
  revoke(dir)
  ready, making = dir, nil
  sched.signal(certs)
  return dir
end

function certs.remove()
  if ready then host.remove_tree(ready) end
end

return certs
