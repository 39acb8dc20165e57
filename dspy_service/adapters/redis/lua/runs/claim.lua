-- KEYS run; ARGV run id, owner, lease micros, epoch. Answers the record, or nil when there is nothing to take.
-- The epoch is random for each call: one that is sent again because its reply was lost finds its own and gets the same
-- answer.
local REMEMBERED = 86400 * 1000000 -- whoever was served a day ago is as good as one who never was
local run = find(ARGV[1])
if not run then
  return false
end
if not (run.status == 'in_progress' and run.epoch == ARGV[4]) then
  if run.status ~= 'queued' or not redis.call('ZSCORE', WAITING .. ':' .. run.tenant, ARGV[1]) then
    return false
  end
  local now = stamp(run)
  wait_no_more(run)
  redis.call('HINCRBY', KEYS[1], 'fence', 1)
  redis.call('HSET', KEYS[1], 'status', 'in_progress', 'owner', ARGV[2], 'epoch', ARGV[4], 'batch', 0, 'stamp', text(now))
  redis.call('HSETNX', KEYS[1], 'started', text(now))
  redis.call('ZADD', LEASES, text(micros() + ARGV[3]), ARGV[1])
  redis.call('SADD', WORKING .. run.tenant, ARGV[1])
  redis.call('ZADD', SERVED, text(now), run.tenant)
  redis.call('ZREMRANGEBYSCORE', SERVED, '-inf', text(now - REMEMBERED))
end
return redis.call('HGETALL', KEYS[1])
