-- KEYS job; ARGV job id, number of the terminal event, why it was given up or ''. Nothing changes when another end is to be told by now.
if redis.call('HGET', KEYS[1], 'seq') == ARGV[2] then
  redis.call('ZREM', DELIVERIES, ARGV[1])
  redis.call('HDEL', KEYS[1], 'told')
  show_untold(KEYS[1], ARGV[3])
end
return 1
