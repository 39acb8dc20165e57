-- KEYS answers, use, bytes
-- ARGV call key, answer, bytes that all answers may take, micros that one may stand unused, the same in milliseconds,
-- 1 to replace an answer that is there
-- The first answer to a key stands, unless it is too old, or replaced. Sent again, it changes nothing.
local BESIDE = 200 -- about what the server adds to an answer and its key
local SHARE = 16

local now, most, size = micros(), tonumber(ARGV[3]), #ARGV[2] + BESIDE

local function drop(key)
  local length = redis.call('HSTRLEN', KEYS[1], key)
  redis.call('HDEL', KEYS[1], key)
  redis.call('ZREM', KEYS[2], key)
  return redis.call('DECRBY', KEYS[3], length + BESIDE)
end

for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. text(now - ARGV[4]))) do
  drop(key)
end
if ARGV[6] == '1' and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  drop(ARGV[1])
end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('ZADD', KEYS[2], text(now), ARGV[1])
elseif size * SHARE <= most then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('ZADD', KEYS[2], text(now), ARGV[1])
  local taken = redis.call('INCRBY', KEYS[3], size)
  while taken > most do
    taken = drop(redis.call('ZRANGE', KEYS[2], 0, 0)[1]) -- the new one stays: it is the last, and small
  end
end
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, ARGV[5])
end
return 1
