-- KEYS key; ARGV tenant, micros of the end. Answers the record, or nothing when the tenant has no such key. The first time counts.
if redis.call('HGET', KEYS[1], 'tenant') ~= ARGV[1] then
  return {}
end
redis.call('HSETNX', KEYS[1], 'revoked', ARGV[2])
return redis.call('HGETALL', KEYS[1])
