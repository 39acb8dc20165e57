-- KEYS outbox; ARGV prefix of job keys, limit, first pause micros, longest pause micros
-- Answers the ids to ring. The job keys are computed, which one hash tag makes safe.
local now = micros()
local ids = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, ARGV[2])) do
  local job = ARGV[1] .. id
  if redis.call('HGET', job, 'status') == 'pending' then
    local rings = redis.call('HINCRBY', job, 'rings', 1)
    local pause = math.min(ARGV[3] * 2 ^ (rings - 1), tonumber(ARGV[4]))
    redis.call('ZADD', KEYS[1], text(now + pause), id)
    ids[#ids + 1] = id
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return ids
