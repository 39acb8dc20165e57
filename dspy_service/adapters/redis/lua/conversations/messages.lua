-- KEYS conversation; ARGV tenant, last message or '' for the head, limit.
-- Answers the messages, newest first, nil, or 'absent' when that message is not there.
if not belongs(KEYS[1], ARGV[1]) then
  return nil
end
local id = ARGV[2]
if id == '' then
  id = redis.call('HGET', KEYS[1], 'head')
elseif redis.call('EXISTS', message_key(KEYS[1], id)) == 0 then
  return 'absent'
end
local found = {}
while id and id ~= '' and #found < tonumber(ARGV[3]) do
  local key = message_key(KEYS[1], id)
  found[#found + 1] = redis.call('HGETALL', key)
  id = redis.call('HGET', key, 'parent')
end
return found
