-- KEYS run; ARGV run id, reason. Answers the record, or nil when there is none. Asked twice, nothing changes.
local run = find(ARGV[1])
if not run then
  return false
end
if run.status == 'queued' or run.status == 'in_progress' then
  ask_to_end(run, ARGV[2])
end
return redis.call('HGETALL', KEYS[1])
