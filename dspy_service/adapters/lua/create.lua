-- KEYS job, log, spec, index, outbox, submit counter and wake-up channel, [idempotency]
-- ARGV job id, schema version, fixed fields, spec, state event, body hash, idempotency seconds
-- Answers {'created', micros}, {'repeated'} (this very call, its reply was lost), {'replayed', id} or {'conflict'}.
if KEYS[7] then
  local earlier = redis.call('GET', KEYS[7])
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
local now = micros()
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'fixed', ARGV[3], 'status', 'pending', 'created', text(now),
  'stamp', text(now), 'attempt', 0, 'fence', 0, 'losses', 0, 'seq', 0)
redis.call('SET', KEYS[3], ARGV[4])
redis.call('ZADD', KEYS[4], 0, ARGV[1])
redis.call('ZADD', KEYS[5], text(now), ARGV[1])
add_event(KEYS[1], KEYS[2], now, 0, 'state', ARGV[5])
if KEYS[7] then
  redis.call('SET', KEYS[7], ARGV[1] .. ' ' .. ARGV[6], 'EX', ARGV[7])
end
redis.call('INCR', KEYS[6])
redis.call('PUBLISH', KEYS[6], ARGV[1])
return { 'created', text(now) }
