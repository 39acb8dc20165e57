-- KEYS tenants with waiting runs; ARGV tenants that are passed over. Answers the id that should start next, or nil.
-- Changes nothing, but takes out entries of runs that do not wait.

-- The tenant's first run, and the time since which it waits.
local function first_of(tenant)
  local waiting = WAITING .. ':' .. tenant
  local entry = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
  while entry[1] do
    if redis.call('HGET', RUN .. entry[1], 'status') == 'queued' then
      return entry[1], tonumber(entry[2])
    end
    redis.call('ZREM', waiting, entry[1])
    entry = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
  end
  redis.call('SREM', KEYS[1], tenant)
end

local function before(one, other)
  for i = 1, #one do
    if one[i] ~= other[i] then
      return one[i] < other[i]
    end
  end
end

-- Fewest runs in progress, then served longest ago, then who waits longest, then by id: the same answer for all who ask.
local best
local passed_over = {}
for _, tenant in ipairs(ARGV) do
  passed_over[tenant] = true
end
for _, tenant in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local working = redis.call('SCARD', WORKING .. tenant)
  if not passed_over[tenant] and (not best or working <= best[1]) then
    local id, since = first_of(tenant)
    local served = tonumber(redis.call('ZSCORE', SERVED, tenant) or 0)
    local candidate = { working, served, since, id }
    if id and (not best or before(candidate, best)) then
      best = candidate
    end
  end
end
return best and best[4]
