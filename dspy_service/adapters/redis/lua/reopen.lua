-- KEYS job; ARGV job id, spec, most unfinished jobs of the tenant (0: any number)
-- Answers {'done', record}, {'missing'}, {'full'} or {'forbidden', status}. Asked twice, nothing changes.
local status = redis.call('HGET', KEYS[1], 'status')
if not status then
  return { 'missing' }
end
if status == 'failed' then
  if not unpacked(KEYS[1]) then
    return { 'forbidden', status } -- its end has not been settled
  end
  if is_full(redis.call('HGET', KEYS[1], 'tenant'), tonumber(ARGV[3])) then
    pack(KEYS[1])
    return { 'full' }
  end
  redis.call('HSET', KEYS[1], 'stamp', redis.call('HGET', KEYS[1], 'completed'))
  local now = stamp(KEYS[1])
  redis.call('HINCRBY', KEYS[1], 'fence', 1) -- whoever still thinks that he settles or holds it is refused
  redis.call('HDEL', KEYS[1], 'completed', 'reason', 'message', 'result', 'rfence', 'artifact', 'best', 'losses', 'owner',
    'told', 'untold')
  redis.call('HSET', KEYS[1], 'forgiven', redis.call('HGET', KEYS[1], 'active') or 0)
  redis.call('ZREM', SETTLED, ARGV[1])
  redis.call('ZREM', DELIVERIES, ARGV[1])
  redis.call('SET', KEYS[1] .. ':spec', ARGV[2])
  redis.call('PERSIST', KEYS[1] .. ':journal')
  become(find(ARGV[1]), 'pending', now, {})
elseif ENDED[status] or status == 'paused' or redis.call('HEXISTS', KEYS[1], 'forgiven') == 0 then
  return { 'forbidden', status } -- a job that was never opened again has no `forgiven`
end
return { 'done', redis.call('HGETALL', KEYS[1]) }
