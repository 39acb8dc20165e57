-- KEYS job; ARGV job id. Answers nil when there is no such job, else its status; only an ended job goes.
local status = redis.call('HGET', KEYS[1], 'status')
if not ENDED[status] then
  return status
end
unpacked(KEYS[1])
local job = find(ARGV[1])
for _, index in ipairs({ '', ':status:' .. status, ':optimizer:' .. redis.call('HGET', KEYS[1], 'optimizer') }) do
  redis.call('ZREM', JOBS .. job.tenant .. index, ARGV[1])
end
for _, set in ipairs({ OUTBOX, LEASES, UNSETTLED, SETTLED, DELIVERIES }) do
  redis.call('ZREM', set, ARGV[1])
end
local dataset = cjson.decode(redis.call('HGET', KEYS[1], 'fixed')).dataset_path
if redis.call('HINCRBY', DATASETS, dataset, -1) <= 0 then
  redis.call('HDEL', DATASETS, dataset)
  redis.call('ZADD', ORPHANS, text(micros()), dataset)
end
redis.call('UNLINK', KEYS[1], KEYS[1] .. ':spec', KEYS[1] .. ':events', KEYS[1] .. ':journal')
return status
