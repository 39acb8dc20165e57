-- KEYS job; ARGV job id, proof, lease micros, running time micros or ''. Answers the wish on the record, or nil for a stale proof.
if not holds(KEYS[1], ARGV[2]) then
  return false
end
local leased_until = text(micros() + ARGV[3])
redis.call('ZADD', LEASES, leased_until, ARGV[1])
redis.call('HSET', KEYS[1], 'lease', leased_until, 'lasts', ARGV[3])
note_active(KEYS[1], ARGV[4])
return redis.call('HGET', KEYS[1], 'wish') or 'go_on'
