-- Put in front of every script: the job's clock, its event log, and who may write.
-- Times are microseconds since 1970 of Redis' own clock, passed as text because Lua would print them with 14 digits.

local function text(number)
  return string.format('%.0f', number)
end

local function micros()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- A stamp for one write to a job; never earlier than the one before, whatever the machine's clock does.
local function stamp(job)
  local now = micros()
  local last = tonumber(redis.call('HGET', job, 'stamp') or 0)
  if last > now then
    now = last
  end
  redis.call('HSET', job, 'stamp', text(now))
  return now
end

-- Constant field names: the stream's nodes then store them once.
local function add_event(job, log, now, attempt, kind, data)
  local seq = redis.call('HINCRBY', job, 'seq', 1)
  redis.call('XADD', log, text(seq) .. '-0', 'v', 1, 't', text(now), 'a', attempt, 'y', kind, 'd', data)
  return seq
end

local function holds(job, fence)
  local record = redis.call('HMGET', job, 'fence', 'status')
  return record[1] == fence and (record[2] == 'validating' or record[2] == 'running')
end
