-- wrk: what ./dev bench sends. Settings come from the environment:
--   POST=orders   POST /api/orders, every request with a body of its own
--   IDS=n         GET /api/orders/{id}SUFFIX, one of n after another (the ids that content.py makes)
--   BODY=text     POST this body to the URL
--   (neither)     GET the URL
--   RATE=n        n requests a second on a schedule, however slow the answers are, as long as a
--                 connection is free; how late they were sent is in the result
local ffi = require("ffi")
ffi.cdef [[
    typedef struct { long s, ns; } bench_time;
    int clock_gettime(int clock, bench_time *now);
]]
local time = ffi.new("bench_time")
local CLOCK_MONOTONIC = 1

local function now()
    ffi.C.clock_gettime(CLOCK_MONOTONIC, time)
    return tonumber(time.s) + tonumber(time.ns) / 1e9
end

local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

local NAMES = { "Laptop", "Phone", "Keyboard", "Monitor", "Office chair", "Standing desk" }
local JSON = { ["Content-Type"] = "application/json" }
local rate, ids, suffix = tonumber(os.getenv("RATE")), tonumber(os.getenv("IDS")), os.getenv("SUFFIX") or ""
local run = tostring(now())
local sent, planned, started = 0, 0, nil
late_ms = {} -- milliseconds late → requests

local function post_order()
    local body = string.format('{"product_name":"%s %s-%d","amount":%d.%02d}', NAMES[sent % #NAMES + 1], run, sent,
        sent % 5000 + 1, sent % 100)
    return wrk.format("POST", "/api/orders", JSON, body)
end

local function get_order()
    return wrk.format("GET", string.format("/api/orders/00000000-0000-0000-0000-%012d%s", (sent - 1) % ids + 1, suffix))
end

local make
if os.getenv("POST") == "orders" then
    make = post_order
elseif ids then
    make = get_order
elseif os.getenv("BODY") then
    wrk.method, wrk.body, wrk.headers = "POST", os.getenv("BODY"), JSON
end

local function note_lateness()
    if not started then return end -- wrk asks for one request beforehand, to look at it
    local late = math.max(0, math.floor((now() - started - sent / rate) * 1000))
    late_ms[late] = (late_ms[late] or 0) + 1
end

if make or rate then
    function request()
        sent = sent + 1
        if rate then note_lateness() end
        return make and make() or wrk.format()
    end
end

if rate then
    -- Called when a connection becomes free: it takes the next place in the schedule.
    function delay()
        started = started or now()
        planned = planned + 1
        return math.max(0, (started + planned / rate - now()) * 1000)
    end
end

local function late_percentile(share)
    local all, most, sum = 0, 0, 0
    local counts = threads[1]:get("late_ms") or {}
    for ms, count in pairs(counts) do
        all, most = all + count, math.max(most, ms)
    end
    for ms = 0, most do
        sum = sum + (counts[ms] or 0)
        if sum >= share * all then return ms end
    end
    return 0
end

function done(summary, latency)
    local errors, seconds = summary.errors, summary.duration / 1e6
    local result = '{"answered":%d,"refused":%d,"broken":%d,"seconds":%.3f,"p50_ms":%.3f,"p99_ms":%.3f,"late_p99_ms":%d}'
    io.write("RESULT ", string.format(result, summary.requests - errors.status, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout, seconds,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000, late_percentile(0.99)), "\n")
end
