-- KEYS conversation; ARGV tenant, message, status, what it says, tokens.
-- Answers the message, nil, or 'absent' when it is not there.
if not belongs(KEYS[1], ARGV[1]) then
  return nil
end
local key = message_key(KEYS[1], ARGV[2])
local before = redis.call('HMGET', key, 'run', 'tokens')
if not before[1] then
  return 'absent'
end
redis.call('HSET', key, 'status', ARGV[3], 'said', ARGV[4], 'tokens', ARGV[5])
redis.call('HINCRBY', KEYS[1], 'tokens', ARGV[5] - before[2])
redis.call('LREM', KEYS[1] .. ':writing', 0, before[1])
if ARGV[3] == 'writing' then
  redis.call('RPUSH', KEYS[1] .. ':writing', before[1])
end
touch(KEYS[1])
return redis.call('HGETALL', key)
