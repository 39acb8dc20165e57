-- KEYS run; ARGV run id, proof, status, usage or '', its figures or '', finish reason or '', error or '', whether the
--   facts show output 0|1, facts …
-- Answers the record, or nil for a stale proof. The same proof with the same status answers again.
local run = find(ARGV[1])
if not run or not claimed_by(run, ARGV[2]) or (run.status ~= 'in_progress' and run.status ~= ARGV[3]) then
  return false
end
if run.status == 'in_progress' then
  local now = stamp(run)
  for i, name in ipairs({ 'usage', 'spent', 'finish', 'error' }) do
    if ARGV[3 + i] ~= '' then
      redis.call('HSET', KEYS[1], name, ARGV[3 + i])
    end
  end
  if ARGV[8] == '1' and not run.shown then
    redis.call('HSET', KEYS[1], 'shown', text(now))
  end
  end_run(run, ARGV[3], now, ARGV, 9)
end
return redis.call('HGETALL', KEYS[1])
