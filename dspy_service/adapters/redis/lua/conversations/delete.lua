-- KEYS conversation; ARGV tenant, random text of this call. Answers the runs that still write in it, or nil.
local gone = KEYS[1] .. ':gone'
local call, runs = string.match(redis.call('GET', gone) or '', '^(%S+) ?(.*)$')
if call == ARGV[2] then
  return runs
end
if not belongs(KEYS[1], ARGV[1]) then
  return nil
end
local id = id_of(KEYS[1])
local writing = table.concat(redis.call('LRANGE', KEYS[1] .. ':writing', 0, -1), ' ')
for _, message in ipairs(redis.call('LRANGE', KEYS[1] .. ':order', 0, -1)) do
  redis.call('ZREM', rated_key(ARGV[1]), id .. ' ' .. message)
  redis.call('DEL', message_key(KEYS[1], message))
end
redis.call('ZREM', CONVERSATIONS .. ARGV[1], id)
redis.call('ZREM', CONVERSATIONS .. ARGV[1] .. ':of:' .. redis.call('HGET', KEYS[1], 'owner'), id)
redis.call('DEL', KEYS[1], KEYS[1] .. ':order', KEYS[1] .. ':writing')
if redis.call('EXISTS', CONVERSATIONS .. ARGV[1]) == 0 then
  redis.call('SREM', TALKING, ARGV[1])
end
redis.call('SET', gone, ARGV[2] .. ' ' .. writing, 'EX', 60)
return writing
