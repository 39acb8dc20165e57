-- KEYS answers, use, bytes; ARGV call key, micros that an answer may stand unused, the same in milliseconds.
local used = redis.call('ZSCORE', KEYS[2], ARGV[1])
local now = micros()
if not used or tonumber(used) < now - ARGV[2] then
  return false -- one that is too old leaves when the next one is kept
end
redis.call('ZADD', KEYS[2], text(now), ARGV[1])
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, ARGV[3])
end
return redis.call('HGET', KEYS[1], ARGV[1])
