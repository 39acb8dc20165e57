-- KEYS leases; ARGV lease micros, losses that end a job, most jobs, time when this was asked. Answers, of each job whose
-- lease ended, who held it and the record.
-- Nothing while the server is up for less than a lease: after an outage every lease looks expired. The same is true when
-- it stood still: what was asked before waits in its connections and would run first, before any holder can renew. A
-- holder renews three times in a lease, so that a stop of half a lease ends none.
local lease = tonumber(ARGV[1])
if up_for() < lease or (lease > 0 and micros() - ARGV[4] > lease / 2) then
  return {}
end

-- Leases that end later than one that begins now are from before the clock was set back.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. text(micros() + lease), '+inf')) do
  local lasts = tonumber(redis.call('HGET', JOB .. id, 'lasts') or 0)
  local latest = micros() + lasts
  if tonumber(redis.call('ZSCORE', KEYS[1], id)) > latest then
    redis.call('ZADD', KEYS[1], text(latest), id)
    redis.call('HSET', JOB .. id, 'lease', text(latest))
  end
end

local records = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(micros()), 'LIMIT', 0, ARGV[3])) do
  local job = find(id)
  if job and HELD[job.status] then
    local owner = lose(job, 'fell silent', ARGV[2])
    records[#records + 1] = { owner, redis.call('HGETALL', job.key) }
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return records
