-- KEYS orphans by the time since when; ARGV micros since then at least, most paths, seconds that a deletion may take
-- Answers paths that may be deleted now; until that has surely been done, no job may name them. Each one stays an
-- orphan, from now, until it is forgotten.
local now = micros()
local paths = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now - ARGV[1]), 'LIMIT', 0, ARGV[2])
for _, path in ipairs(paths) do
  redis.call('ZADD', KEYS[1], text(now), path)
  redis.call('SET', LEAVING .. path, 'unwanted', 'EX', ARGV[3])
end
return paths
