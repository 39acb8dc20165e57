-- KEYS job; ARGV job id, proof, status, states it may follow (' a b '), reason, message, result path or '', artifact 0|1,
--   running time micros or ''
-- Answers {'finished', record}, {'lost'} or {'illegal', status}. The same proof with the same status answers again.
local job = find(ARGV[1])
if not job or not claimed_by(KEYS[1], ARGV[2]) then
  return { 'lost' }
end
if job.status ~= ARGV[3] then
  if not HELD[job.status] then
    return { 'lost' }
  end
  if not string.find(ARGV[4], ' ' .. job.status .. ' ', 1, true) then
    return { 'illegal', job.status }
  end
  if ARGV[7] ~= '' then
    redis.call('HSET', KEYS[1], 'result', ARGV[7], 'rfence', redis.call('HGET', KEYS[1], 'fence'))
  end
  redis.call('HSET', KEYS[1], 'artifact', ARGV[8])
  note_active(KEYS[1], ARGV[9])
  become(job, ARGV[3], stamp(KEYS[1]), { reason = ARGV[5], message = ARGV[6] })
end
return { 'finished', redis.call('HGETALL', KEYS[1]) }
