-- KEYS workers. Answers what each live worker says, and forgets the others.
local now = micros()
local live = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local expires_at, info = string.match(all[i + 1], '^(%d+) (.*)$')
  if tonumber(expires_at) > now then
    live[#live + 1] = info
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return live
