-- KEYS job; ARGV job id, number of the terminal event, micros, why or ''. Counts one try; said again, it is not counted again.
-- Nothing changes when another end is to be told by now, or this one is told.
local record = redis.call('HMGET', KEYS[1], 'seq', 'told')
local seq, tries, first, out = string.match(record[2] or '', '^(%d+) (%d+) (%d+) (%d)$')
if seq == ARGV[2] and record[1] == seq and out == '1' then
  redis.call('HSET', KEYS[1], 'told', table.concat({ seq, text(tries + 1), first, '0' }, ' '))
  redis.call('ZADD', DELIVERIES, text(micros() + ARGV[3]), ARGV[1])
  show_untold(KEYS[1], ARGV[4])
end
return 1
