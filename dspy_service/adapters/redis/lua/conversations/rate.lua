-- KEYS conversation; ARGV tenant, message, feedback or ''.
-- Answers the message, nil, or 'absent' when it is not there.
if not belongs(KEYS[1], ARGV[1]) then
  return nil
end
local key = message_key(KEYS[1], ARGV[2])
if redis.call('EXISTS', key) == 0 then
  return 'absent'
end
local place = id_of(KEYS[1]) .. ' ' .. ARGV[2]
if ARGV[3] == '' then
  redis.call('HDEL', key, 'feedback')
  redis.call('ZREM', rated_key(ARGV[1]), place)
else
  redis.call('HSET', key, 'feedback', ARGV[3])
  redis.call('ZADD', rated_key(ARGV[1]), 0, place)
end
return redis.call('HGETALL', key)
