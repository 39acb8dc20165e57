-- KEYS program; ARGV version.
-- Answers {'retired', record}, {'absent'} or {'in use', alias}, the first one by name.
local key = KEYS[1] .. ':v:' .. ARGV[1]
if redis.call('EXISTS', key) == 0 then
  return { 'absent' }
end
local naming = alias_of(KEYS[1], ARGV[1])
if naming then
  return { 'in use', naming }
end
redis.call('HSET', key, 'status', 'retired')
return { 'retired', redis.call('HGETALL', key) }
