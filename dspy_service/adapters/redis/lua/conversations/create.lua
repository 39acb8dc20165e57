-- KEYS conversation; ARGV tenant, owner, program, title or '', metadata, most conversations of the tenant (0: any number).
-- Answers the record, or 'full'; the record of a conversation with this id when there is one, for its answer was lost.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return record(KEYS[1])
end
local most = tonumber(ARGV[6])
if most > 0 and redis.call('ZCARD', CONVERSATIONS .. ARGV[1]) >= most then
  return 'full'
end
local now = text(micros())
redis.call('HSET', KEYS[1], 'tenant', ARGV[1], 'owner', ARGV[2], 'program', ARGV[3], 'title', ARGV[4], 'metadata',
  ARGV[5], 'created', now, 'updated', now, 'count', 0, 'tokens', 0, 'head', '')
return touch(KEYS[1])
