-- KEYS waiting jobs by the time since when
-- Answers how many jobs wait, how many are held, and the micros for which the oldest has waited.
local since = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
local longest = since and math.max(0, micros() - since) or 0
return { redis.call('ZCARD', KEYS[1]), redis.call('ZCARD', LEASES), text(longest) }
