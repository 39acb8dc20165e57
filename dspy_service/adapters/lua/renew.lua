-- KEYS job, leases; ARGV job id, fence, lease micros. Answers the wish on the record, or nil for a stale fence.
if not holds(KEYS[1], ARGV[2]) then
  return false
end
redis.call('ZADD', KEYS[2], text(micros() + ARGV[3]), ARGV[1])
return redis.call('HGET', KEYS[1], 'wish') or 'go_on'
