-- KEYS run; ARGV run id, proof, error of a run whose output cannot be taken back
-- Answers the record, or nil for a stale proof. Said again, it answers again, unless the run was claimed meanwhile.
local GIVEN_BACK = { queued = true, failed = true, cancelled = true }
local run = find(ARGV[1])
if not run or not claimed_by(run, ARGV[2]) then
  return false
end
if run.status == 'in_progress' then
  if run.wish then
    redis.call('RPUSH', UNTOLD, run.id) -- its worker knows of no end
    end_run(run, 'cancelled', stamp(run), { '{"type":"cancelled","reason":"' .. run.wish .. '"}' }, 1)
  elseif run.shown then
    redis.call('HSET', KEYS[1], 'error', ARGV[3])
    end_run(run, 'failed', stamp(run), { '{"type":"error","error":' .. ARGV[3] .. ',"partial":true}' }, 1)
  else
    let_go(run)
    redis.call('HSET', KEYS[1], 'status', 'queued')
    redis.call('HDEL', KEYS[1], 'owner')
    begin_to_wait(run)
  end
elseif not GIVEN_BACK[run.status] then
  return false
end
return redis.call('HGETALL', KEYS[1])
