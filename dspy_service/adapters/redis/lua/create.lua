-- KEYS job, [idempotency]
-- ARGV job id, schema version, tenant, optimizer, priority, webhook or '', other fixed fields, spec, dataset path,
--   body hash, idempotency seconds, most unfinished jobs (0: any number)
-- Answers {'created', record}, {'repeated'} (this very call, its reply was lost), {'replayed', id}, {'conflict'},
-- {'full'} or {'leaving'} (the dataset is just being deleted). What was not created leaves its dataset an orphan,
-- unless other jobs name it; also when it is just being deleted, for it was stored once more.
local function refused(...)
  if not redis.call('HGET', DATASETS, ARGV[9]) then
    redis.call('ZADD', ORPHANS, 'NX', text(micros()), ARGV[9])
    redis.call('SET', LEAVING .. ARGV[9], 'wanted', 'XX', 'KEEPTTL')
  end
  return { ... }
end

local earlier = KEYS[2] and redis.call('GET', KEYS[2])
if earlier then
  local id, hash = string.match(earlier, '^(%S+) (.*)$')
  if id ~= ARGV[1] and redis.call('EXISTS', JOB .. id) == 1 then
    if hash ~= ARGV[10] then
      return refused('conflict')
    end
    return refused('replayed', id)
  end
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  return { 'repeated' }
end
if redis.call('EXISTS', LEAVING .. ARGV[9]) == 1 then
  return refused('leaving')
end
if is_full(ARGV[3], tonumber(ARGV[12])) then
  return refused('full')
end
local now = micros()
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'tenant', ARGV[3], 'optimizer', ARGV[4], 'priority', ARGV[5], 'fixed', ARGV[7],
  'created', text(now), 'stamp', text(now), 'attempt', 0, 'fence', 0)
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], 'hook', ARGV[6])
end
redis.call('SET', KEYS[1] .. ':spec', ARGV[8])
redis.call('ZADD', JOBS .. ARGV[3], 0, ARGV[1])
redis.call('ZADD', JOBS .. ARGV[3] .. ':optimizer:' .. ARGV[4], 0, ARGV[1])
redis.call('HINCRBY', DATASETS, ARGV[9], 1)
redis.call('ZREM', ORPHANS, ARGV[9])
if KEYS[2] then
  redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. ARGV[10], 'EX', ARGV[11])
end
local job = { id = ARGV[1], key = KEYS[1], log = KEYS[1] .. ':events', tenant = ARGV[3], priority = ARGV[5], attempt = 0 }
become(job, 'pending', now, {})
return { 'created', redis.call('HGETALL', KEYS[1]) }
