-- KEYS job; ARGV job id, fence, number of the last archived event, seconds that a failed job's newest answers stay.
-- Nothing changes for a job that is not as named, or is settled.
local record = redis.call('HMGET', KEYS[1], 'status', 'fence', 'seq', 'completed')
if not ENDED[record[1]] or record[2] ~= ARGV[2] or record[3] ~= ARGV[3] or not record[4] then
  return 0
end
redis.call('ZREM', UNSETTLED, ARGV[1])
redis.call('ZADD', SETTLED, record[4], ARGV[1])
redis.call('UNLINK', KEYS[1] .. ':spec', KEYS[1] .. ':events')
if record[1] == 'failed' then
  redis.call('EXPIRE', KEYS[1] .. ':journal', ARGV[4]) -- a retry need not pay for these again
else
  redis.call('UNLINK', KEYS[1] .. ':journal')
  redis.call('HDEL', KEYS[1], 'jbase')
end
redis.call('HDEL', KEYS[1], 'epoch', 'stamp', 'batch', 'place')
redis.call('HSET', KEYS[1], 'archived', ARGV[3], 'afence', ARGV[2])
pack(KEYS[1])
return 1
