-- KEYS job; ARGV job id
-- Answers {position among the tenant's waiting jobs, the tenant's running jobs}, or nil for a job that does not wait.
local record = redis.call('HMGET', KEYS[1], 'status', 'tenant')
local rank = record[1] == 'pending' and redis.call('ZRANK', WAITING .. ':' .. record[2], ARGV[1])
if not rank then
  return false
end
return { rank + 1, redis.call('SCARD', RUNNING .. record[2]) }
