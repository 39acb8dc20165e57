-- KEYS orphans by the time since when; ARGV micros from now, paths. Those that a job names, or that are noted, stay.
local since = text(micros() + table.remove(ARGV, 1))
for _, path in ipairs(ARGV) do
  if not redis.call('HGET', DATASETS, path) then
    redis.call('ZADD', KEYS[1], 'NX', since, path)
  end
end
