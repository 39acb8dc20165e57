-- KEYS job; ARGV number of the first answer that is wanted, most answers
-- Answers the number of the first that it gives, the number after the last that there is, and the answers. One step, so
-- that the numbers belong to the answers even while somebody drops some.
local journal = KEYS[1] .. ':journal'
local base = tonumber(redis.call('HGET', KEYS[1], 'jbase') or 0)
local first = math.max(base, tonumber(ARGV[1]))
local found = redis.call('LRANGE', journal, text(first - base), text(first - base + ARGV[2] - 1))
return { first, base + redis.call('LLEN', journal), found }
