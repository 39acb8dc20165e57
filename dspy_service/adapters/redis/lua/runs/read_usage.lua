-- KEYS usage of some days. Answers what was counted on each of them.
local days = {}
for i, key in ipairs(KEYS) do
  days[i] = redis.call('HGETALL', key)
end
return days
