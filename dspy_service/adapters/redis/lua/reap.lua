-- KEYS leases; ARGV lease micros, losses that end a job, most jobs, time when this was asked. Answers the records of the
-- jobs whose lease ended.
-- Nothing while the server is up for less than a lease: after an outage every lease looks expired. The same is true when
-- it stood still: what was asked before waits in its connections and would run first, before any holder can renew. A
-- holder renews three times in a lease, so that a stop of half a lease ends none.
local lease = tonumber(ARGV[1])
local uptime = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)'))
if uptime * 1e6 < lease or (lease > 0 and micros() - ARGV[4] > lease / 2) then
  return {}
end

local function lose(job)
  local record = redis.call('HMGET', job.key, 'beat', 'owner')
  local now = stamp(job.key)
  local losses = redis.call('HINCRBY', job.key, 'losses', 1)
  local owner, count = record[2] or '?', losses .. ' of ' .. ARGV[2]
  local why = { stopped = record[1], message = 'worker lost: ' .. owner .. ' fell silent (' .. count .. ')' }
  redis.call('HINCRBY', job.key, 'fence', 1)
  redis.call('HDEL', job.key, 'epoch', 'owner')
  if job.wish == 'cancel' then
    why.reason = 'cancelled'
    end_without_worker(job, 'cancelled', now, why)
  elseif job.wish == 'pause' then
    become(job, 'paused', now, why)
  elseif losses >= tonumber(ARGV[2]) then
    why.reason = 'lost'
    end_without_worker(job, 'failed', now, why)
  else
    become(job, 'pending', now, why)
  end
end

local records = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(micros()), 'LIMIT', 0, ARGV[3])) do
  local job = find(id)
  if job and HELD[job.status] then
    lose(job)
    records[#records + 1] = redis.call('HGETALL', job.key)
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return records
