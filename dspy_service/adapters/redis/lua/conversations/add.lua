-- KEYS conversation; ARGV tenant, message that the first follows or '' for the head, most messages (0: any number), then
-- for each message: id, run or '', status, fixed fields, what it says.
-- Answers the place of these messages, which rises with each call, nil, 'absent' when that message is not there, or 'full'.
if not belongs(KEYS[1], ARGV[1]) then
  return nil
end
if redis.call('EXISTS', message_key(KEYS[1], ARGV[4])) == 1 then
  return tonumber(redis.call('HGET', message_key(KEYS[1], ARGV[4]), 'place') or 0)
end
local parent = ARGV[2]
if parent == '' then
  parent = redis.call('HGET', KEYS[1], 'head')
elseif redis.call('EXISTS', message_key(KEYS[1], parent)) == 0 then
  return 'absent'
end
local most = tonumber(ARGV[3])
if most > 0 and redis.call('HGET', KEYS[1], 'count') + (#ARGV - 3) / 5 > most then
  return 'full'
end
local place = redis.call('HINCRBY', KEYS[1], 'places', 1)
for i = 4, #ARGV, 5 do
  redis.call('HSET', message_key(KEYS[1], ARGV[i]), 'parent', parent, 'run', ARGV[i + 1], 'status', ARGV[i + 2],
    'fixed', ARGV[i + 3], 'said', ARGV[i + 4], 'tokens', 0, 'place', place)
  redis.call('RPUSH', KEYS[1] .. ':order', ARGV[i])
  redis.call('HINCRBY', KEYS[1], 'count', 1)
  if ARGV[i + 2] == 'writing' then
    redis.call('RPUSH', KEYS[1] .. ':writing', ARGV[i + 1])
  end
  parent = ARGV[i]
end
redis.call('HSET', KEYS[1], 'head', parent)
touch(KEYS[1])
return place
