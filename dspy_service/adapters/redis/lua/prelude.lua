-- Put in front of every script: where things stand, a job's clock and log, who may write, and what a change of state
-- takes with it. Keys are computed, which the one hash tag makes safe.
-- Times are microseconds since 1970 of Redis' own clock, passed as text because Lua would print them with 14 digits.

local ROOT = '{dspy}:'
local JOB = ROOT .. 'job:'
local JOBS = ROOT .. 'jobs:'
local OUTBOX = ROOT .. 'outbox'
local LEASES = ROOT .. 'leases'
local WAITING = ROOT .. 'waiting'
local QUEUED = ROOT .. 'queued'
local RUNNING = ROOT .. 'running:'
local SERVED = ROOT .. 'served'
local UNSETTLED = ROOT .. 'unsettled'
local SETTLED = ROOT .. 'ended'
local DELIVERIES = ROOT .. 'deliveries'
local DATASETS = ROOT .. 'datasets'
local ORPHANS = ROOT .. 'orphans'
local LEAVING = ROOT .. 'leaving:'
local SUBMITTED = ROOT .. 'submitted'
local EVENTS = ROOT .. 'events'

local HELD = { validating = true, running = true }
local ENDED = { success = true, failed = true, cancelled = true }

local function text(number)
  return string.format('%.0f', number)
end

local function micros()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Micros since the server started. Less than none: its clock was set back since, and nobody knows.
local function up_for()
  local seconds = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%-?%d+)'))
  return seconds < 0 and math.huge or seconds * 1e6
end

-- A stamp for one write to a job; never earlier than the one before, whatever the machine's clock does.
local function stamp(key)
  local now = micros()
  local last = tonumber(redis.call('HGET', key, 'stamp') or 0)
  if last > now then
    now = last
  end
  redis.call('HSET', key, 'stamp', text(now))
  return now
end

-- Constant field names: the stream's nodes then store them once.
local function add_event(key, log, now, attempt, kind, data)
  local seq = redis.call('HINCRBY', key, 'seq', 1)
  redis.call('XADD', log, text(seq) .. '-0', 'v', 1, 't', text(now), 'a', attempt, 'y', kind, 'd', data)
  return seq
end

-- Once in each script that added events.
local function tell_readers(id)
  redis.call('PUBLISH', EVENTS, id)
end

-- Whether the writer with this proof, '<fence> <epoch>', is the one that the record names. The epoch, random for each
-- claim, tells apart two claims that got the same fence because the store went back to an older state in between; the
-- writer may not know it, and a settled record has none.
local function claimed_by(key, proof)
  local fence, epoch = string.match(proof, '^(%d+) ?(.*)$')
  local record = redis.call('HMGET', key, 'fence', 'epoch')
  return record[1] == fence and (epoch == '' or not record[2] or record[2] == epoch)
end

local function holds(key, proof)
  return claimed_by(key, proof) and HELD[redis.call('HGET', key, 'status')] == true
end

-- What a change of state must know about a job; nil when there is none.
local function find(id)
  local key = JOB .. id
  local record = redis.call('HMGET', key, 'status', 'tenant', 'priority', 'attempt', 'hook', 'wish')
  if not record[1] then
    return nil
  end
  return {
    id = id, key = key, log = key .. ':events', status = record[1], tenant = record[2], priority = record[3],
    attempt = record[4], hook = record[5], wish = record[6],
  }
end

-- Whether so many jobs of a tenant have not ended that it may have no other one; 0: any number may.
local function is_full(tenant, most)
  local count = 0
  for _, status in ipairs({ 'pending', 'validating', 'running', 'paused' }) do
    count = count + redis.call('ZCARD', JOBS .. tenant .. ':status:' .. status)
  end
  return most > 0 and count >= most
end

-- Makes a waiting job's ring due at once, and wakes the dispatchers.
local function ring(id)
  redis.call('ZADD', OUTBOX, text(micros()), id)
  redis.call('HDEL', JOB .. id, 'rings')
  redis.call('INCR', SUBMITTED)
  redis.call('PUBLISH', SUBMITTED, id)
end

-- `since`: the time that gives the job its place among those of its tenant.
local function begin_to_wait(job, now, since)
  redis.call('HSET', job.key, 'queued', text(now))
  local score = (9 - job.priority) * 1e13 + math.floor(since / 1000)
  redis.call('ZADD', WAITING .. ':' .. job.tenant, text(score), job.id)
  redis.call('SADD', WAITING, job.tenant)
  redis.call('ZADD', QUEUED, text(now), job.id)
  ring(job.id)
end

local function wait_no_more(job)
  redis.call('ZREM', WAITING .. ':' .. job.tenant, job.id)
  if redis.call('EXISTS', WAITING .. ':' .. job.tenant) == 0 then
    redis.call('SREM', WAITING, job.tenant)
  end
  redis.call('ZREM', QUEUED, job.id)
  redis.call('ZREM', OUTBOX, job.id)
  redis.call('HDEL', job.key, 'rings')
end

-- The time of the place that a job has, or had before it was claimed. `place` is there once a worker has given it back.
local function place_of(job)
  local record = redis.call('HMGET', job.key, 'place', 'queued')
  return tonumber(record[1] or record[2])
end

-- What a holder says of the running time of all attempts, in microseconds, or '' for nothing. It never falls: what is
-- sent again may come late.
local function note_active(key, told)
  if told ~= '' and tonumber(told) > tonumber(redis.call('HGET', key, 'active') or 0) then
    redis.call('HSET', key, 'active', told)
  end
end

-- A waiting job of the tenant may run in this one's place.
local function let_go(job)
  redis.call('HDEL', job.key, 'wish', 'eta', 'lease', 'lasts')
  redis.call('ZREM', LEASES, job.id)
  redis.call('SREM', RUNNING .. job.tenant, job.id)
  local next_one = redis.call('ZRANGE', WAITING .. ':' .. job.tenant, 0, 0)[1]
  if next_one then
    ring(next_one)
  end
end

local function end_job(job, now, reason)
  local due = text(micros()) -- the job's own stamp may be far ahead, when the machine's clock was set back
  redis.call('HSET', job.key, 'completed', text(now), 'reason', reason)
  redis.call('ZADD', UNSETTLED, due, job.id)
  if job.hook then
    redis.call('ZADD', DELIVERIES, due, job.id)
  end
end

local function state_event(status, message, reason)
  local data = '{"status":"' .. status .. '"'
  if message then
    data = data .. ',"message":' .. cjson.encode(message)
  end
  if reason then
    data = data .. ',"termination_reason":"' .. reason .. '"'
  end
  return data .. '}'
end

-- The one way to change a state: with its index entries, its place in the queue, its lease, its event and all
-- wake-ups. `why` may hold `message`, `reason` (of an end) and
-- `behind` (whether a job that its worker gives back queues anew; else it keeps the place that it had).
local function become(job, status, now, why)
  local was, by_status = job.status, JOBS .. job.tenant .. ':status:'
  if was then
    redis.call('ZREM', by_status .. was, job.id)
  end
  redis.call('ZADD', by_status .. status, 0, job.id)
  redis.call('HSET', job.key, 'status', status)
  if why.message then
    redis.call('HSET', job.key, 'message', why.message)
  end
  if was == 'pending' then
    wait_no_more(job)
  end
  if HELD[was] and not HELD[status] then
    let_go(job)
  end
  if HELD[status] and not HELD[was] then
    redis.call('SADD', RUNNING .. job.tenant, job.id)
  end
  if status == 'pending' then
    local since = now
    if HELD[was] and not why.behind then
      since = place_of(job)
      redis.call('HSET', job.key, 'place', text(since))
    else
      redis.call('HDEL', job.key, 'place')
    end
    begin_to_wait(job, now, since)
  end
  if ENDED[status] then
    end_job(job, now, why.reason)
  end
  job.status = status
  add_event(job.key, job.log, now, job.attempt, 'state', state_event(status, why.message, why.reason))
  tell_readers(job.id)
end

-- An end that no worker wrote: the best program so far, if there is one, is the result.
local function end_without_worker(job, status, now, why)
  local best = redis.call('HGET', job.key, 'best')
  if best then
    best = cjson.decode(best)
    redis.call('HSET', job.key, 'result', best.path, 'rfence', text(best.fence), 'artifact', 1)
  end
  become(job, status, now, why)
end

-- Whether a held job's lease is over. Not while the server is up for less than the lease was long: after an outage every
-- lease looks like that until its holder has renewed it.
local function has_gone_silent(job)
  local record = redis.call('HMGET', job.key, 'lease', 'lasts')
  local over = record[1] and tonumber(record[1]) <= micros()
  return over and up_for() >= tonumber(record[2])
end

-- Ends a held job's lease. What its user wishes comes true with that; else it is one loss, and enough of them end the
-- job. `how` says what became of its owner, whose name is answered for the logs: it is none of a tenant's business.
local function lose(job, how, enough)
  local owner = redis.call('HGET', job.key, 'owner')
  local now = stamp(job.key)
  local why = {}
  redis.call('HINCRBY', job.key, 'fence', 1)
  redis.call('HDEL', job.key, 'epoch', 'owner', 'message')
  if job.wish == 'cancel' then
    why.reason, why.message = 'cancelled', 'cancelled'
    end_without_worker(job, 'cancelled', now, why)
  elseif job.wish == 'pause' then
    become(job, 'paused', now, why)
  else
    local losses = redis.call('HINCRBY', job.key, 'losses', 1)
    why.message = 'worker lost: ' .. how .. ' (' .. losses .. ' of ' .. enough .. ')'
    if losses >= tonumber(enough) then
      why.reason = 'lost'
      end_without_worker(job, 'failed', now, why)
    else
      become(job, 'pending', now, why)
    end
  end
  return owner or '?'
end

-- Why nobody was told of the end yet, or at all; '' when somebody was.
local function show_untold(key, problem)
  if problem == '' then
    redis.call('HDEL', key, 'untold')
  else
    redis.call('HSET', key, 'untold', problem)
  end
end

-- A settled record keeps apart only what scripts look at; each field of a hash costs some forty bytes.
local APART = {
  status = true, fence = true, seq = true, fixed = true, hook = true, told = true, untold = true, jbase = true,
}

local function pack(key)
  local record, apart, rest = redis.call('HGETALL', key), {}, {}
  for i = 1, #record, 2 do
    if APART[record[i]] then
      apart[#apart + 1], apart[#apart + 2] = record[i], record[i + 1]
    else
      rest[record[i]] = record[i + 1]
    end
  end
  redis.call('DEL', key) -- a new hash has no room that is not needed any more
  redis.call('HSET', key, 'rest', cjson.encode(rest), unpack(apart))
end

local function unpacked(key)
  local rest = redis.call('HGET', key, 'rest')
  if rest then
    for name, value in pairs(cjson.decode(rest)) do
      redis.call('HSET', key, name, value)
    end
    redis.call('HDEL', key, 'rest')
  end
  return rest
end
