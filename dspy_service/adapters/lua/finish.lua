-- KEYS job, log, spec, leases, outbox
-- ARGV job id, fence, status, states it may follow (' a b '), terminal event, reason, message, result path, artifact 0|1
-- Answers {'finished', record}, {'lost'} or {'illegal', status}. The same fence with the same status answers again.
local record = redis.call('HMGET', KEYS[1], 'fence', 'status', 'attempt')
if not (record[1] == ARGV[2] and record[2] == ARGV[3]) then
  if not holds(KEYS[1], ARGV[2]) then
    return { 'lost' }
  end
  if not string.find(ARGV[4], ' ' .. record[2] .. ' ', 1, true) then
    return { 'illegal', record[2] }
  end
  local now = stamp(KEYS[1])
  redis.call('HSET', KEYS[1], 'status', ARGV[3], 'completed', text(now), 'reason', ARGV[6], 'message', ARGV[7],
    'artifact', ARGV[9])
  if ARGV[8] ~= '' then
    redis.call('HSET', KEYS[1], 'result', ARGV[8])
    redis.call('UNLINK', KEYS[3]) -- the spec stands among those files
  end
  redis.call('HDEL', KEYS[1], 'eta', 'wish', 'rings')
  redis.call('ZREM', KEYS[4], ARGV[1])
  redis.call('ZREM', KEYS[5], ARGV[1])
  add_event(KEYS[1], KEYS[2], now, record[3], 'state', ARGV[5])
end
return { 'finished', redis.call('HGETALL', KEYS[1]) }
