-- KEYS settled jobs by the time of their end; ARGV micros since then at least, most jobs
-- Answers their records, oldest end first. An entry without a record is taken out.
local records = {}
local latest = '(' .. text(micros() - ARGV[1])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', latest, 'LIMIT', 0, ARGV[2])) do
  local record = redis.call('HGETALL', JOB .. id)
  if #record > 0 then
    records[#records + 1] = record
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return records
