-- KEYS leases, runs that end without a reader, ended runs to be told; ARGV lease micros, most runs, time when this was asked, error of a lost run
-- Answers the records of the runs that ended without a worker, here or elsewhere; each is told once.
-- Nothing while the server is up for less than a lease: after an outage every lease looks expired. The same is true when
-- it stood still: what was asked before waits in its connections and would run first, before any holder can renew.
local lease = tonumber(ARGV[1])
local uptime = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%-?%d+)'))
if uptime >= 0 and uptime * 1e6 < lease or (lease > 0 and micros() - ARGV[3] > lease / 2) then
  return {}
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(micros()), 'LIMIT', 0, ARGV[2])) do
  local run = find(id)
  if not run then
    redis.call('ZREM', KEYS[1], id)
  else
    end_without_holder(run, ARGV[4])
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', text(micros()), 'LIMIT', 0, ARGV[2])) do
  local run = find(id)
  redis.call('ZREM', KEYS[2], id)
  if run and (run.status == 'queued' or run.status == 'in_progress') then
    ask_to_end(run, 'disconnected')
  end
end

local records = {}
for _, id in ipairs(redis.call('LPOP', KEYS[3], ARGV[2]) or {}) do
  local record = redis.call('HGETALL', RUN .. id)
  if record[1] then
    records[#records + 1] = record
  end
end
return records
