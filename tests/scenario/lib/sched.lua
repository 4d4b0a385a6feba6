-- Coroutines over host.poll: many stories wait at once, each reads as straight code.
--
--   sched.start(fn)                      a task; the loop ends when no task is left
--   sched.daemon(fn)                     a task the loop does not wait for
--   sched.wait(fd, "r"|"w", deadline)    true when ready, false when the deadline passed
--   sched.until_time(deadline)           only time passes
--   sched.listen(key, deadline)          true once somebody calls sched.signal(key)
--
-- A deadline is a host.now() value.  Waits may only be called inside a task.
local sched = {}

local ready, waiting, listeners = {}, {}, {}
local tasks_alive = 0

local function enqueue(co, value)
  waiting[co] = nil
  ready[#ready + 1] = { co, value }
end

local function add(fn, counted)
  local co
  co = coroutine.create(function()
    fn()
    if counted then tasks_alive = tasks_alive - 1 end
  end)
  if counted then tasks_alive = tasks_alive + 1 end
  enqueue(co)
  return co
end

function sched.start(fn) return add(fn, true) end
function sched.daemon(fn) return add(fn, false) end

local function park(entry)
  waiting[coroutine.running()] = entry
  return coroutine.yield()
end

function sched.wait(fd, events, deadline)
  return park { fd = fd, events = events, deadline = deadline }
end

function sched.until_time(deadline)
  return park { deadline = deadline }
end

function sched.listen(key, deadline)
  local set = listeners[key] or {}
  listeners[key] = set
  set[coroutine.running()] = true
  local heard = park { deadline = deadline }
  set[coroutine.running()] = nil
  return heard
end

function sched.signal(key)
  for co in pairs(listeners[key] or {}) do
    if waiting[co] then enqueue(co, true) end
  end
end

local function resume_ready()
  while #ready > 0 do
    local batch = ready
    ready = {}
    for _, item in ipairs(batch) do
      local ok, err = coroutine.resume(item[1], item[2])
      if not ok then error(debug.traceback(item[1], tostring(err)), 0) end
    end
  end
end

-- One poll over everything that waits; wakes what is ready or late.
local function poll_once()
  local list, nearest = {}, host.now() + 60
  for _, w in pairs(waiting) do
    if w.fd then
      list[#list + 1] = w.fd
      list[#list + 1] = w.events
    end
    if w.deadline and w.deadline < nearest then nearest = w.deadline end
  end
  local fired = host.poll(list, nearest - host.now())
  local now, wake = host.now(), {}
  for co, w in pairs(waiting) do
    if w.fd and fired[w.fd] then
      wake[#wake + 1] = { co, true }
    elseif w.deadline and w.deadline <= now then
      wake[#wake + 1] = { co, false }
    end
  end
  for _, item in ipairs(wake) do enqueue(item[1], item[2]) end
end

-- Runs until every counted task has ended.
function sched.run()
  resume_ready()
  while tasks_alive > 0 do
    poll_once()
    resume_ready()
  end
end

return sched
