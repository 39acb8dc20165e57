-- KEYS totals, number of this reporter's last report
-- ARGV number of this report, milliseconds that it is remembered, then of each counter its field and what to add
-- Sent again, it changes nothing.
if tonumber(redis.call('GET', KEYS[2]) or 0) >= tonumber(ARGV[1]) then
  return 0
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
for place = 3, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[1], ARGV[place], ARGV[place + 1])
end
return 1
