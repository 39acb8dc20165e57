-- KEYS conversation; ARGV tenant, then fields and values. Answers the record, or nil.
if not belongs(KEYS[1], ARGV[1]) then
  return nil
end
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
return touch(KEYS[1])
