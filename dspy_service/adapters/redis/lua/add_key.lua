-- KEYS key, all keys, the tenant's keys; ARGV id, tenant, fixed fields, micros of its creation.
-- Saying it twice changes nothing.
redis.call('HSET', KEYS[1], 'tenant', ARGV[2], 'fixed', ARGV[3])
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
return 1
