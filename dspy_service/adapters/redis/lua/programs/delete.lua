-- KEYS program, the tenant's programs; ARGV name, random text of this call, seconds that its numbers are remembered.
-- Answers {'gone'}, {'absent'} or {'in use', alias}, where the alias is another one than `production`.
local gone = KEYS[1] .. ':gone'
if string.match(redis.call('GET', gone) or '', ' (%S+)$') == ARGV[2] then
  return { 'gone' }
end
local record = redis.call('HMGET', KEYS[1], 'latest', 'made', 'moves')
if not record[1] then
  return { 'absent' }
end
local naming = alias_of(KEYS[1], nil, 'production')
if naming then
  return { 'in use', naming }
end
local numbers = numbers_key(KEYS[1])
for _, number in ipairs(redis.call('ZRANGE', numbers, 0, -1)) do
  redis.call('DEL', KEYS[1] .. ':v:' .. number)
end
redis.call('DEL', KEYS[1], numbers)
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('SET', gone, (record[2] or record[1]) .. ' ' .. record[3] .. ' ' .. ARGV[2], 'EX', ARGV[3])
return { 'gone' }
