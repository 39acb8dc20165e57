-- KEYS job, log, spec, index, outbox, submit counter and wake-up channel, the tenant's unfinished jobs, [idempotency]
-- ARGV job id, schema version, fixed fields, spec, state event, body hash, idempotency seconds, most unfinished jobs
--   (0: any number), prefix of job keys, terminal states (' a b ')
-- Answers {'created', micros}, {'repeated'} (this very call, its reply was lost), {'replayed', id}, {'conflict'} or
-- {'full'}.

-- Whether the tenant has its share of unfinished jobs. Only a full set is looked through for jobs that have ended, so
-- that no other script has to take them out, and the set never has more than `most` members.
local function full(unfinished, most, prefix, ended)
  if redis.call('SCARD', unfinished) >= most then
    for _, id in ipairs(redis.call('SMEMBERS', unfinished)) do
      local status = redis.call('HGET', prefix .. id, 'status')
      if not status or string.find(ended, ' ' .. status .. ' ', 1, true) then
        redis.call('SREM', unfinished, id)
      end
    end
  end
  return redis.call('SCARD', unfinished) >= most
end

if KEYS[8] then
  local earlier = redis.call('GET', KEYS[8])
  if earlier then
    local id, hash = string.match(earlier, '^(%S+) (.*)$')
    if id ~= ARGV[1] then
      if hash ~= ARGV[6] then
        return { 'conflict' }
      end
      return { 'replayed', id }
    end
  end
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  return { 'repeated' }
end
local most = tonumber(ARGV[8])
if most > 0 then
  if full(KEYS[7], most, ARGV[9], ARGV[10]) then
    return { 'full' }
  end
  redis.call('SADD', KEYS[7], ARGV[1])
end
local now = micros()
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'fixed', ARGV[3], 'status', 'pending', 'created', text(now),
  'stamp', text(now), 'attempt', 0, 'fence', 0, 'losses', 0, 'seq', 0)
redis.call('SET', KEYS[3], ARGV[4])
redis.call('ZADD', KEYS[4], 0, ARGV[1])
redis.call('ZADD', KEYS[5], text(now), ARGV[1])
add_event(KEYS[1], KEYS[2], now, 0, 'state', ARGV[5])
if KEYS[8] then
  redis.call('SET', KEYS[8], ARGV[1] .. ' ' .. ARGV[6], 'EX', ARGV[7])
end
redis.call('INCR', KEYS[6])
redis.call('PUBLISH', KEYS[6], ARGV[1])
return { 'created', text(now) }
