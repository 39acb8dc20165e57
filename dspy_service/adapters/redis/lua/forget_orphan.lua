-- KEYS orphans by the time since when; ARGV path. Its file was deleted; one that was stored again meanwhile stays.
if redis.call('GET', LEAVING .. ARGV[1]) == 'unwanted' then
  redis.call('ZREM', KEYS[1], ARGV[1])
end
