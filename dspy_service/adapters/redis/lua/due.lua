-- KEYS outbox; ARGV most ids, first pause micros, longest pause micros. Answers the ids to ring.
local now = micros()
local ids = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. text(now + ARGV[3]), '+inf', 'LIMIT', 0, ARGV[1])) do
  redis.call('ZADD', KEYS[1], text(now), id) -- from before the machine's clock was set back
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, ARGV[1])) do
  if redis.call('HGET', JOB .. id, 'status') == 'pending' then
    local rings = redis.call('HINCRBY', JOB .. id, 'rings', 1)
    local pause = math.min(ARGV[2] * 2 ^ (rings - 1), tonumber(ARGV[3]))
    redis.call('ZADD', KEYS[1], text(now + pause), id)
    ids[#ids + 1] = id
  else
    redis.call('ZREM', KEYS[1], id)
    redis.call('ZREM', QUEUED, id)
  end
end
return ids
