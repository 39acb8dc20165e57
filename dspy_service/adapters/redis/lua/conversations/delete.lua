-- KEYS conversation; ARGV tenant, random text of this call. Answers 1, or nil.
local gone = KEYS[1] .. ':gone'
if redis.call('GET', gone) == ARGV[2] then
  return 1
end
if not belongs(KEYS[1], ARGV[1]) then
  return nil
end
local id = id_of(KEYS[1])
for _, message in ipairs(redis.call('LRANGE', KEYS[1] .. ':order', 0, -1)) do
  redis.call('ZREM', rated_key(ARGV[1]), id .. ' ' .. message)
  redis.call('DEL', message_key(KEYS[1], message))
end
redis.call('ZREM', CONVERSATIONS .. ARGV[1], id)
redis.call('ZREM', CONVERSATIONS .. ARGV[1] .. ':of:' .. redis.call('HGET', KEYS[1], 'owner'), id)
redis.call('DEL', KEYS[1], KEYS[1] .. ':order', KEYS[1] .. ':writing')
redis.call('SET', gone, ARGV[2], 'EX', 60)
return 1
