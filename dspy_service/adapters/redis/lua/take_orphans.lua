-- KEYS orphans by the time since when; ARGV micros since then at least, most paths, seconds that a deletion may take
-- Answers paths that may be deleted now. Until that has surely been done, no job may name them.
local paths = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(micros() - ARGV[1]), 'LIMIT', 0, ARGV[2])
for _, path in ipairs(paths) do
  redis.call('ZREM', KEYS[1], path)
  redis.call('SET', LEAVING .. path, 1, 'EX', ARGV[3])
end
return paths
