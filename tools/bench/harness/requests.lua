-- The requests of one thread of wrk. Arguments: method, path, body, first, count, stride. "{n}" in the path
-- and the body is one of count numbers from first on, in steps of stride, repeatedly: consecutive requests
-- are not for neighbours. Prints the counts of the responses as one line of JSON.

local serial = 0

function init(args)
  method, path, body = args[1], args[2], args[3]
  first, count, stride = tonumber(args[4]), tonumber(args[5]), tonumber(args[6])
  if not path:find("{n}", 1, true) and body == "" then
    fixed = wrk.format(method, path, wrk.headers)
  end
end

function request()
  if fixed then return fixed end
  local n = string.format("%07d", first + serial * stride % count)
  serial = serial + 1
  return wrk.format(method, (path:gsub("{n}", n)), wrk.headers, body ~= "" and body:gsub("{n}", n) or nil)
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests":%d,"duration":%d,"p50":%d,"p99":%d,"refused":%d,"broken":%d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout
  ))
end
