-- KEYS run; ARGV run id. Answers whether it is not there (any more): a run that has not ended stays.
local run = find(ARGV[1])
if run and (run.status == 'queued' or run.status == 'in_progress') then
  return 0
end
if run then
  redis.call('DEL', KEYS[1], run.log, run.short)
end
return 1
