-- KEYS job; ARGV job id, schema version, owner, lease micros, sandbox level, epoch, running jobs that are enough for a
--   tenant (0: any number)
-- Answers {'none'}, {'newer', version} or {'claimed', record, spec}. The epoch is random for each call: a call that is
-- sent again because its reply was lost finds its own epoch and gets the same answer.
local version = redis.call('HGET', KEYS[1], 'v')
if version and tonumber(version) > tonumber(ARGV[2]) then
  return { 'newer', version }
end
local job = find(ARGV[1])
if not job then
  redis.call('ZREM', OUTBOX, ARGV[1])
  return { 'none' }
end
local REMEMBERED = 86400 * 1000000 -- whoever was served a day ago is as good as one who never was
if not (job.status == 'validating' and redis.call('HGET', KEYS[1], 'epoch') == ARGV[6]) then
  local enough = tonumber(ARGV[7])
  if job.status ~= 'pending' or (enough > 0 and redis.call('SCARD', RUNNING .. job.tenant) >= enough) then
    return { 'none' }
  end
  local now = stamp(KEYS[1])
  job.attempt = redis.call('HINCRBY', KEYS[1], 'attempt', 1)
  redis.call('HINCRBY', KEYS[1], 'fence', 1)
  redis.call('HDEL', KEYS[1], 'message', 'metrics', 'eta', 'batch')
  redis.call('HSET', KEYS[1], 'owner', ARGV[3], 'level', ARGV[5], 'epoch', ARGV[6], 'began', text(now))
  redis.call('HSETNX', KEYS[1], 'started', text(now))
  local leased_until = text(micros() + ARGV[4])
  redis.call('ZADD', LEASES, leased_until, ARGV[1])
  redis.call('HSET', KEYS[1], 'lease', leased_until, 'lasts', ARGV[4])
  redis.call('ZADD', SERVED, text(now), job.tenant)
  redis.call('ZREMRANGEBYSCORE', SERVED, '-inf', text(now - REMEMBERED))
  become(job, 'validating', now, {})
end
return { 'claimed', redis.call('HGETALL', KEYS[1]), redis.call('GET', KEYS[1] .. ':spec') }
