-- KEYS state, grants, leases, pressed
-- ARGV verb, then
--   take: tenant, job, calls, tokens, grant, requests per minute, tokens per minute, max in flight ('' for no limit)
--     answers { calls granted, 1 when the grant is counted, milliseconds until the next question, milliseconds in which
--     the provider is left alone, its refusals in a row }
--   report: for each grant its name, calls left, tokens of those that ended
--   refused: job, seconds that the provider asked for or '', calls per second of the job, seconds that the call took
--
-- Start-time fair queueing, first between tenants, then between a tenant's jobs. What a call costs is time of the
-- whole provider: a call of a request limit of 60 a minute costs a second, one of 8 slots for 2 s a quarter of one, and
-- so on, added up. Whoever was served least is next in line; nobody is granted what belongs to those before him, and
-- those who have not asked again in time stand in no line. Tokens and slot time are estimated and set right later.
-- After a refusal nobody calls for a while, then one call goes alone. When it is refused too, that is the same refusal,
-- and the pace that is aimed at stays: it is an outage. Only what is refused after a probe went well was too fast.
-- dspy_service/adapters/memory/throttle.py and recovery.py are the same in Python.
local GRANT_MS, PRESSURE_SECONDS = 15000, 300
local MAX_WAIT_SECONDS, MAX_QUIET_SECONDS, KEPT_SECONDS = 5, 60, 600
local PROBE_SECONDS = 1 -- in which a refusal of the call that goes alone would be here
local RAMP_SECONDS = 10 -- from half of the pace back to all of it
local LONGEST_BACK_OFF_SECONDS, LEAST_ASKED_SECONDS = 10, 1
-- How the pace grows beyond the one that was refused: from when it doubles, every so often, until it is free.
local AFTER_OUTAGE = { from = RAMP_SECONDS, doubling = 5, free = 40 }
local AFTER_LIMIT = { from = 60, doubling = 30, free = 150 }
local BURST_SHARE = 30 -- of a minute's limit may go at once: two seconds' worth
local FLOW_SECONDS = 10
local SLOWEST_AT_FIRST_PER_SECOND = 1 -- a job that called seldom says nothing about the provider
local SLOWEST_PER_SECOND = 0.1 -- the pace never falls to nothing, however often it is refused
local MAX_STEPS = 200 -- of one look along the line
local TINY = 1e-9

-- JSON keeps 14 digits, which is milliseconds. Moments far ahead are from before the machine's clock was set back.
local NOW = math.floor(micros() / 1000) / 1000
local state = cjson.decode(redis.call('GET', KEYS[1]) or '{"tenants":{},"floor":0,"flying":0,"flow":0}')
state.quiet = math.min(state.quiet or 0, NOW + MAX_QUIET_SECONDS)
state.refused = math.min(state.refused or 0, NOW)
state.probed = state.probed and math.min(state.probed, NOW)
state.flow = state.flow * math.exp(-math.max(0, NOW - (state.now or NOW)) / FLOW_SECONDS)
state.now = NOW

local function save()
  redis.call('SET', KEYS[1], cjson.encode(state))
  for place = 1, 3 do redis.call('PEXPIRE', KEYS[place], 3600000) end
end

local function growth() return state.is_limit and AFTER_LIMIT or AFTER_OUTAGE end

local function calm_seconds() return NOW - (state.probed and state.probed + PROBE_SECONDS or state.quiet) end

local function is_over() return not state.peak or calm_seconds() > growth().free end

local function wants_probe() return not state.probed and not is_over() end

local function silence_seconds()
  local probing = state.probed and not is_over() and state.probed + PROBE_SECONDS - NOW or 0
  return math.max(0, state.quiet - NOW, probing)
end

-- Calls per second that are right now, or nil: as many as the limits allow.
local function pace()
  if is_over() then return nil end
  local calm, grows = calm_seconds(), growth()
  if calm > grows.from then
    return state.peak * 2 ^ ((calm - grows.from) / grows.doubling)
  end
  return state.peak * (1 + math.min(1, math.max(0, calm) / RAMP_SECONDS)) / 2
end

local function gates(limits)
  local found = {}
  local function bucket(name, burst, per_second, unit)
    local kept = state[name] or { level = burst, at = NOW }
    kept.level = math.min(burst, kept.level + math.max(0, NOW - kept.at) * per_second)
    kept.at = NOW
    state[name] = kept
    found[#found + 1] = { kept = kept, left = kept.level, burst = burst, per_second = per_second, unit = unit }
  end
  local requests, tokens, slots, paced = tonumber(limits[1]), tonumber(limits[2]), tonumber(limits[3]), pace()
  if requests then
    local burst = math.max(1, math.floor(requests / BURST_SHARE))
    bucket('requests', burst, (requests - burst + 1) / 60, 'call')
  end
  if tokens then
    local burst = math.max(1, math.floor(tokens / BURST_SHARE))
    bucket('tokens', burst, math.max(1, tokens - burst) / 60, 'token')
  end
  if paced then
    bucket('paced', wants_probe() and 1 or math.max(1, paced / 2), paced, 'call')
  end
  if slots then
    found[#found + 1] = { left = slots - state.flying, burst = slots, unit = 'slot' }
  end
  return found
end

local function need(gate, job) return gate.unit == 'token' and job.tokens or 1 end

-- What a call costs: seconds of the whole provider. Those for one token and for one second of a slot stand behind it.
local function price(open, job)
  local of = { call = 0, token = 0, slot = 0 }
  for _, gate in ipairs(open) do
    of[gate.unit] = of[gate.unit] + 1 / (gate.per_second or gate.burst)
  end
  return of.call + job.tokens * of.token + job.seconds * of.slot, of.token, of.slot
end

-- Seconds until one more call of the job fits; 0: now.
local function missing(open, job)
  local longest = 0
  for _, gate in ipairs(open) do
    local short = math.min(need(gate, job), gate.burst) - gate.left
    if short > TINY then
      longest = math.max(longest, gate.per_second and short / gate.per_second or 0.05)
    end
  end
  return longest
end

local function first(line)
  local best = 1
  for place = 2, #line do
    local lead = line[best].served - line[place].served
    if lead > TINY or (line[place].mine and lead >= -TINY) then
      best = place
    end
  end
  return best
end

local function is_waiting(job)
  return job.calls > 0 and job.waits_until >= NOW and job.waits_until <= NOW + MAX_WAIT_SECONDS + 1
end

local function lines(my_tenant, my_job)
  local waiting, heads = {}, 0
  for _, tenant in pairs(state.tenants) do
    local jobs = {}
    for _, job in pairs(tenant.jobs) do
      if is_waiting(job) then
        jobs[#jobs + 1] = { served = job.served, left = job.calls, job = job, mine = job == my_job }
        heads = heads + 1
      end
    end
    if #jobs > 0 then
      waiting[#waiting + 1] = { served = tenant.served, jobs = jobs, mine = tenant == my_tenant }
    end
  end
  return waiting, heads
end

-- How many calls of my job are among those that may go now, and how long the next in line must wait.
local function look_along(waiting, open, calls)
  local granted = 0
  for _ = 1, MAX_STEPS do
    if granted == calls then
      return granted, 0
    end
    local t = first(waiting)
    local tenant = waiting[t]
    local j = first(tenant.jobs)
    local head = tenant.jobs[j]
    local wait = missing(open, head.job)
    if wait > 0 then
      return granted, wait
    end
    local cost = price(open, head.job)
    for _, gate in ipairs(open) do gate.left = gate.left - need(gate, head.job) end
    tenant.served = tenant.served + cost
    head.served = head.served + cost
    head.left = head.left - 1
    granted = granted + (head.mine and 1 or 0)
    if head.left == 0 then
      table.remove(tenant.jobs, j)
      if #tenant.jobs == 0 then
        table.remove(waiting, t)
      end
    end
  end
  return granted, 0
end

local function forget_old()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], NOW * 1000 + GRANT_MS + 1, '+inf')) do
    redis.call('ZADD', KEYS[3], NOW * 1000 + GRANT_MS, id)
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', NOW * 1000)) do
    local grant = cjson.decode(redis.call('HGET', KEYS[2], id) or '{"left":0}')
    state.flying = state.flying - grant.left
    redis.call('HDEL', KEYS[2], id)
    redis.call('ZREM', KEYS[3], id)
  end
  for tenant_name, tenant in pairs(state.tenants) do
    for job_name, job in pairs(tenant.jobs) do
      if job.seen < NOW - KEPT_SECONDS then
        tenant.jobs[job_name] = nil
      end
    end
    if next(tenant.jobs) == nil then
      state.tenants[tenant_name] = nil
    end
  end
end

-- Whoever was not in the line joins level with whom it served last.
local function enlist(tenant_name, job_name)
  local tenant = state.tenants[tenant_name] or { served = 0, floor = 0, jobs = {} }
  local job = tenant.jobs[job_name] or { served = 0, calls = 0, waits_until = 0, seconds = 1 }
  local waits = false
  for _, each in pairs(tenant.jobs) do waits = waits or is_waiting(each) end
  if not waits then
    tenant.served = math.max(tenant.served, state.floor)
  end
  if not is_waiting(job) then
    job.served = math.max(job.served, tenant.floor)
  end
  state.tenants[tenant_name] = tenant
  tenant.jobs[job_name] = job
  return tenant, job
end

local function take(tenant_name, job_name, calls, tokens, id, limits)
  local known = redis.call('HGET', KEYS[2], id)
  if known then -- the same wish again, because its reply was lost
    return { cjson.decode(known).calls, 1, '0', '0', 0 }
  end
  forget_old()
  local tenant, job = enlist(tenant_name, job_name)
  job.seen, job.waits_until, job.calls, job.tokens = NOW, NOW, calls, tokens / calls
  local open = gates(limits)
  local waiting, heads = lines(tenant, job)
  local silence = silence_seconds()
  local granted, wait = 0, silence
  if silence <= 0 then
    granted, wait = calls, 0
    if #open > 0 then
      granted, wait = look_along(waiting, open, calls)
    end
  end
  local cost, of_token, of_slot = price(open, job)
  if granted > 0 and wants_probe() then
    state.probed, state.paces, wait = NOW, nil, PROBE_SECONDS
  end
  if granted > 0 then
    for _, gate in ipairs(open) do
      if gate.kept then
        gate.kept.level = gate.kept.level - granted * need(gate, job)
      end
    end
    state.floor = math.max(state.floor, tenant.served + (granted - 1) * cost)
    tenant.floor = math.max(tenant.floor, job.served + (granted - 1) * cost)
    tenant.served = tenant.served + granted * cost
    job.served = job.served + granted * cost
    state.flow = state.flow + granted
  end
  local counted = granted > 0 and of_token + of_slot > 0 and 1 or 0
  if counted == 1 then
    state.flying = state.flying + granted
    redis.call('HSET', KEYS[2], id, cjson.encode({
      tenant = tenant_name, job = job_name, calls = granted, left = granted, at = NOW, tokens = job.tokens,
      seconds = job.seconds, of_token = of_token, of_slot = of_slot,
    }))
    redis.call('ZADD', KEYS[3], NOW * 1000 + GRANT_MS, id)
  end
  wait = granted < calls and math.min(MAX_WAIT_SECONDS, math.max(wait, 0.02 * heads)) or 0
  job.calls = calls - granted
  job.waits_until = NOW + wait + 1
  save()
  return { granted, counted, text(wait * 1000), text(silence * 1000), silence > 0 and state.refusals or 0 }
end

local function report(grant, id, left, tokens)
  local ended = math.max(0, grant.left - left)
  local extra = 0
  if ended > 0 and grant.of_token > 0 and state.tokens then
    extra = math.min(tokens - ended * grant.tokens, 60 / grant.of_token) -- whatever an endpoint claims
    state.tokens.level = state.tokens.level - extra
  end
  state.flying = state.flying - ended
  local tenant = state.tenants[grant.tenant]
  local job = tenant and tenant.jobs[grant.job]
  if job and ended > 0 then
    local seconds = math.max(0, NOW - grant.at)
    local owed = extra * grant.of_token + ended * (seconds - grant.seconds) * grant.of_slot
    tenant.served = tenant.served + owed
    job.served = job.served + owed
    job.seconds = job.seconds + 0.2 * (seconds - job.seconds)
    job.seen = NOW
  end
  grant.left = math.min(grant.left, left)
  if grant.left == 0 then
    redis.call('HDEL', KEYS[2], id)
    redis.call('ZREM', KEYS[3], id)
  else
    redis.call('HSET', KEYS[2], id, cjson.encode(grant))
    redis.call('ZADD', KEYS[3], NOW * 1000 + GRANT_MS, id)
  end
end

-- Whether a refusal of a call that was begun then is a new one, and what it says about the pace.
local function note_new(begun)
  local before, measured = pace(), state.flow / FLOW_SECONDS
  if not before then
    state.is_limit, state.paces, state.refusals = false, {}, 1
    state.peak = math.max(SLOWEST_AT_FIRST_PER_SECOND, measured)
  elseif not state.probed then
    return false -- of somebody who had not heard of it yet
  elseif begun <= state.probed + PROBE_SECONDS then
    state.refusals = state.refusals + 1
  else
    state.is_limit, state.refusals = true, 1
    state.peak = math.max(SLOWEST_PER_SECOND, math.min(before, math.max(measured, before / 2)))
  end
  return true
end

-- Refusals of calls that were begun before the last one was heard belong to it: they only make the quiet time longer.
local function refused(job_name, asked, calls_per_second, call_seconds)
  local begun = NOW - call_seconds
  local is_new = begun > state.refused and note_new(begun)
  if state.paces then -- nobody was tried again yet: what all jobs together did is the pace to come back to
    state.paces[job_name] = state.paces[job_name] or calls_per_second
    local sum = 0
    for _, each in pairs(state.paces) do sum = sum + each end
    state.peak = math.max(state.peak, sum)
  end
  if is_new then
    state.refused, state.probed, state.paced = NOW, nil, nil
    local back_off = math.min(LONGEST_BACK_OFF_SECONDS, 2 ^ math.min(10, state.refusals - 1))
    asked = asked and asked >= LEAST_ASKED_SECONDS and asked or back_off
  end
  state.quiet = math.max(state.quiet, NOW + math.min(MAX_QUIET_SECONDS, asked or 0))
  redis.call('SET', KEYS[4], 1, 'PX', text((state.quiet - NOW + PRESSURE_SECONDS) * 1000))
end

if ARGV[1] == 'take' then
  return take(ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], { ARGV[7], ARGV[8], ARGV[9] })
elseif ARGV[1] == 'report' then
  for place = 2, #ARGV, 3 do
    local grant = redis.call('HGET', KEYS[2], ARGV[place])
    if grant then
      report(cjson.decode(grant), ARGV[place], tonumber(ARGV[place + 1]), tonumber(ARGV[place + 2]))
    end
  end
else
  refused(ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
end
save()
return 1
