-- KEYS run; ARGV run id, proof, lease micros. Answers why somebody asked for an end, or '', or nil for a stale proof.
local run = find(ARGV[1])
if not holds(run, ARGV[2]) then
  return false
end
redis.call('ZADD', LEASES, text(micros() + ARGV[3]), ARGV[1])
return run.wish or ''
