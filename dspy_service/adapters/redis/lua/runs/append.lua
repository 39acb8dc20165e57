-- KEYS run; ARGV run id, proof, number of the batch, whether it shows output 0|1, usage so far or '', its
--   figures or '', facts …
-- Answers the last event's number, or nil for a stale proof. The cost does not depend on the log's length.
local run = find(ARGV[1])
if not holds(run, ARGV[2]) then
  return false
end
if tonumber(ARGV[3]) > run.batch then
  local now = stamp(run)
  redis.call('HSET', KEYS[1], 'batch', ARGV[3])
  if ARGV[4] == '1' and not run.shown then
    redis.call('HSET', KEYS[1], 'shown', text(now))
  end
  if ARGV[5] ~= '' then
    redis.call('HSET', KEYS[1], 'usage', ARGV[5], 'spent', ARGV[6])
  end
  write(run, now, ARGV, 7)
end
return run.seq
