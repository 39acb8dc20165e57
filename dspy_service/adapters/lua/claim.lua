-- KEYS job, log, spec, outbox, leases
-- ARGV job id, schema version, owner, lease micros, sandbox level, epoch, state event
-- Answers {'none'}, {'newer', version} or {'claimed', record, spec}. The epoch is random for each call: a call that is
-- sent again because its reply was lost finds its own epoch and gets the same answer.
local record = redis.call('HMGET', KEYS[1], 'status', 'v', 'epoch')
if record[2] and tonumber(record[2]) > tonumber(ARGV[2]) then
  return { 'newer', record[2] }
end
if not (record[1] == 'validating' and record[3] == ARGV[6]) then
  redis.call('ZREM', KEYS[4], ARGV[1])
  if record[1] ~= 'pending' then
    return { 'none' }
  end
  local now = stamp(KEYS[1])
  local attempt = redis.call('HINCRBY', KEYS[1], 'attempt', 1)
  redis.call('HINCRBY', KEYS[1], 'fence', 1)
  redis.call('HSET', KEYS[1], 'status', 'validating', 'owner', ARGV[3], 'level', ARGV[5], 'epoch', ARGV[6])
  redis.call('HSETNX', KEYS[1], 'started', text(now))
  redis.call('HDEL', KEYS[1], 'rings')
  redis.call('ZADD', KEYS[5], text(now + ARGV[4]), ARGV[1])
  add_event(KEYS[1], KEYS[2], now, attempt, 'state', ARGV[7])
end
return { 'claimed', redis.call('HGETALL', KEYS[1]), redis.call('GET', KEYS[3]) }
