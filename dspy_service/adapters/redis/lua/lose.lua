-- KEYS leases; ARGV losses that end a job, owner, owner, … that have died. Answers, of each job that one of them
-- held, who that was and the record. Sent again, it finds nothing more.
local dead = {}
for i = 2, #ARGV do
  dead[ARGV[i]] = true
end
local records = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local job = find(id)
  if job and HELD[job.status] and dead[redis.call('HGET', job.key, 'owner')] then
    local owner = lose(job, 'died', ARGV[1])
    records[#records + 1] = { owner, redis.call('HGETALL', job.key) }
  end
end
return records
