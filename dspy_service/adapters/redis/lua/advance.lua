-- KEYS job; ARGV job id, proof. Answers 1, or nil for a stale proof. Saying it twice changes nothing.
if not holds(KEYS[1], ARGV[2]) then
  return false
end
local job = find(ARGV[1])
if job.status == 'validating' then
  become(job, 'running', stamp(KEYS[1]), {})
end
return 1
