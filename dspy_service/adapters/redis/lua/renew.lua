-- KEYS job; ARGV job id, proof, lease micros. Answers the wish on the record, or nil for a stale proof.
if not holds(KEYS[1], ARGV[2]) then
  return false
end
local now = micros()
redis.call('ZADD', LEASES, text(now + ARGV[3]), ARGV[1])
redis.call('HSET', KEYS[1], 'beat', text(now))
return redis.call('HGET', KEYS[1], 'wish') or 'go_on'
