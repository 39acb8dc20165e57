-- KEYS job; ARGV proof, answer …. Answers the number after the last, or nil for a stale proof.
if not holds(KEYS[1], ARGV[1]) then
  return false
end
local journal = KEYS[1] .. ':journal'
for i = 2, #ARGV do
  redis.call('RPUSH', journal, ARGV[i])
end
return (redis.call('HGET', KEYS[1], 'jbase') or 0) + redis.call('LLEN', journal)
