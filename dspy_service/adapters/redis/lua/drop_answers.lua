-- KEYS job; ARGV proof, number of the first answer that stays. Answers 1, or nil for a stale proof.
if not holds(KEYS[1], ARGV[1]) then
  return false
end
local journal = KEYS[1] .. ':journal'
local base = tonumber(redis.call('HGET', KEYS[1], 'jbase') or 0)
local count = math.min(ARGV[2] - base, redis.call('LLEN', journal))
if count > 0 then
  redis.call('LTRIM', journal, text(count), -1)
  redis.call('HSET', KEYS[1], 'jbase', text(base + count))
end
return 1
