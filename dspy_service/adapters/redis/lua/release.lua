-- KEYS job; ARGV job id, proof, message or '', whether it keeps its place 0|1, running time micros or ''
-- Answers {'released', record} or {'lost'}. Said again, it answers again.
local job = find(ARGV[1])
if not job or not claimed_by(KEYS[1], ARGV[2]) or job.status == 'success' or job.status == 'failed' then
  return { 'lost' }
end
if HELD[job.status] then
  local now = stamp(KEYS[1])
  redis.call('HDEL', KEYS[1], 'owner', 'message')
  note_active(KEYS[1], ARGV[5])
  if job.wish == 'cancel' then
    end_without_worker(job, 'cancelled', now, { reason = 'cancelled', message = 'cancelled' })
  elseif job.wish == 'pause' then
    become(job, 'paused', now, {})
  else
    become(job, 'pending', now, { message = ARGV[3] ~= '' and ARGV[3] or nil, behind = ARGV[4] == '0' })
  end
end
return { 'released', redis.call('HGETALL', KEYS[1]) }
