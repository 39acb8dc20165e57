-- KEYS program; ARGV version, random text of this call, seconds that its answer is remembered.
-- Answers {'gone'}, {'absent'}, {'in use', alias} or {'active'}.
local key = KEYS[1] .. ':v:' .. ARGV[1]
if redis.call('GET', key .. ':gone') == ARGV[2] then
  return { 'gone' }
end
local status = redis.call('HGET', key, 'status')
if not status then
  return { 'absent' }
end
local naming = alias_of(KEYS[1], ARGV[1])
if naming then
  return { 'in use', naming }
end
if status ~= 'retired' then
  return { 'active' }
end
local numbers = numbers_key(KEYS[1])
redis.call('DEL', key)
redis.call('ZREM', numbers, ARGV[1])
redis.call('HSETNX', KEYS[1], 'made', redis.call('HGET', KEYS[1], 'latest'))
redis.call('HSET', KEYS[1], 'latest', redis.call('ZREVRANGE', numbers, 0, 0)[1])
redis.call('SET', key .. ':gone', ARGV[2], 'EX', ARGV[3])
return { 'gone' }
