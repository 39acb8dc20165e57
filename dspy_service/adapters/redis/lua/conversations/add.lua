-- KEYS conversation; ARGV tenant, message that the first follows or '' for the head, then for each message: id, run or
-- '', status, fixed fields, what it says. Answers the record, nil, or 'absent' when that message is not there.
if not belongs(KEYS[1], ARGV[1]) then
  return nil
end
if redis.call('EXISTS', message_key(KEYS[1], ARGV[3])) == 1 then
  return record(KEYS[1])
end
local parent = ARGV[2]
if parent == '' then
  parent = redis.call('HGET', KEYS[1], 'head')
elseif redis.call('EXISTS', message_key(KEYS[1], parent)) == 0 then
  return 'absent'
end
for i = 3, #ARGV, 5 do
  redis.call('HSET', message_key(KEYS[1], ARGV[i]), 'parent', parent, 'run', ARGV[i + 1], 'status', ARGV[i + 2],
    'fixed', ARGV[i + 3], 'said', ARGV[i + 4], 'tokens', 0)
  redis.call('RPUSH', KEYS[1] .. ':order', ARGV[i])
  redis.call('HINCRBY', KEYS[1], 'count', 1)
  if ARGV[i + 2] == 'writing' then
    redis.call('RPUSH', KEYS[1] .. ':writing', ARGV[i + 1])
  end
  parent = ARGV[i]
end
redis.call('HSET', KEYS[1], 'head', parent)
return touch(KEYS[1])
