-- KEYS deliveries by the time of their next try; ARGV lease micros, most deliveries
-- Answers {job id, number of the terminal event, tries so far, micros since the first}, …, and puts their next try off.
-- The record's field `told` tells what was done for one end: '<number of its event> <tries> <micros of the first> <out>',
-- where `out` is 1 while somebody has the delivery. A job that was opened again has nothing to tell.
local now = micros()
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, ARGV[2])) do
  local record = redis.call('HMGET', JOB .. id, 'status', 'seq', 'told')
  if ENDED[record[1]] then
    local seq, tries, first = string.match(record[3] or '', '^(%d+) (%d+) (%d+)')
    if seq ~= record[2] then
      seq, tries, first = record[2], '0', text(now)
    end
    redis.call('HSET', JOB .. id, 'told', table.concat({ seq, tries, first, '1' }, ' '))
    redis.call('ZADD', KEYS[1], text(now + ARGV[1]), id)
    found[#found + 1] = { id, seq, tries, text(now - first) }
  else
    redis.call('ZREM', KEYS[1], id)
    redis.call('HDEL', JOB .. id, 'told')
  end
end
return found
