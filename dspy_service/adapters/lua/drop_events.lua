-- KEYS job, log; ARGV terminal states (' a b '). Answers the job's status, or nil when there is no job.
local status = redis.call('HGET', KEYS[1], 'status')
if status and string.find(ARGV[1], ' ' .. status .. ' ', 1, true) then
  redis.call('UNLINK', KEYS[2])
  redis.call('HSET', KEYS[1], 'archived', 1)
end
return status
