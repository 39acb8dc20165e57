-- KEYS job; ARGV job id, number of the terminal event. Nothing changes when another end is to be told by now.
if redis.call('HGET', KEYS[1], 'seq') == ARGV[2] then
  redis.call('ZREM', DELIVERIES, ARGV[1])
  redis.call('HDEL', KEYS[1], 'told')
end
return 1
