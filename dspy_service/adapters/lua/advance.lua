-- KEYS job, log; ARGV fence, state event. Answers 1, or nil for a stale fence. Saying it twice changes nothing.
if not holds(KEYS[1], ARGV[1]) then
  return false
end
if redis.call('HGET', KEYS[1], 'status') == 'validating' then
  local now = stamp(KEYS[1])
  redis.call('HSET', KEYS[1], 'status', 'running')
  add_event(KEYS[1], KEYS[2], now, redis.call('HGET', KEYS[1], 'attempt'), 'state', ARGV[2])
end
return 1
