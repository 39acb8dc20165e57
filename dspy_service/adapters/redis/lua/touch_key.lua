-- KEYS key; ARGV micros of the use. Never moves the last use back, and makes no key of a name.
if redis.call('EXISTS', KEYS[1]) == 1 then
  local used = tonumber(redis.call('HGET', KEYS[1], 'used') or 0)
  if tonumber(ARGV[1]) > used then
    redis.call('HSET', KEYS[1], 'used', ARGV[1])
  end
end
return 1
