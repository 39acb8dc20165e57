-- KEYS tenants with waiting jobs; ARGV running jobs that are enough for a tenant (0: any number)
-- Answers the id that a free slot should claim, or nil. Changes nothing, but takes out entries of jobs that do not wait.
local enough = tonumber(ARGV[1])
if enough == 0 then
  enough = math.huge
end

-- The tenant's first job, and the milliseconds since which it waits.
local function first_of(tenant)
  local waiting = WAITING .. ':' .. tenant
  local entry = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
  while entry[1] do
    if redis.call('HGET', JOB .. entry[1], 'status') == 'pending' then
      return entry[1], tonumber(entry[2]) % 1e13
    end
    redis.call('ZREM', waiting, entry[1])
    entry = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
  end
  redis.call('SREM', KEYS[1], tenant)
end

-- Compares as many parts as both have.
local function before(one, other)
  for i = 1, math.min(#one, #other) do
    if one[i] ~= other[i] then
      return one[i] < other[i]
    end
  end
end

-- Fewest running jobs, then served longest ago, then who waits longest, then by id: the same answer for all who ask.
local best
for _, tenant in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local served = tonumber(redis.call('ZSCORE', SERVED, tenant) or 0)
  if not best or best[1] > 0 or served <= best[2] then -- else it cannot win, however few of its jobs run
    local running = redis.call('SCARD', RUNNING .. tenant)
    if running < enough and not (best and before(best, { running, served })) then
      local id, since = first_of(tenant)
      local candidate = { running, served, since, id }
      if id and (not best or before(candidate, best)) then
        best = candidate
      end
    end
  end
end
return best and best[4]
