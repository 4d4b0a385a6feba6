-- Puts the reference of all directives, as `skep --directives` prints it, between the markers
-- of the guide and of the man page.
--
--     lua5.4 docs/reference.lua build/release/bin/skep            rewrites both
--     lua5.4 docs/reference.lua build/release/bin/skep --check    fails when one is out of date
local skep, check = arg[1], arg[2] == "--check"
local root = arg[0]:match("^(.*)/docs/[^/]*$") or "."

local files = {
  { path = root .. "/docs/guide/configuration.md", format = "markdown" },
  { path = root .. "/docs/man/skep.conf.5", format = "man" },
}

local function read(file)
  local text = assert(file:read "a")
  file:close()
  return text
end

local stale = 0
for _, f in ipairs(files) do
  local made = read(assert(io.popen(("'%s' --directives=%s"):format(skep, f.format))))
  assert(#made > 1000, "skep --directives printed next to nothing")
  local text = read(assert(io.open(f.path)))
  local from = assert(select(2, text:find("DIRECTIVES BEGIN[^\n]*\n")), "no begin marker in " .. f.path)
  local to = assert(text:find("[^\n]*DIRECTIVES END", from), "no end marker in " .. f.path)
  local new = text:sub(1, from) .. made .. text:sub(to)
  if new ~= text and check then
    io.stderr:write(f.path, ": out of date; run: lua5.4 docs/reference.lua ", skep, "\n")
    stale = stale + 1
  elseif new ~= text then
    local out = assert(io.open(f.path, "w"))
    out:write(new)
    out:close()
    print("wrote " .. f.path)
  end
end
os.exit(stale == 0)
