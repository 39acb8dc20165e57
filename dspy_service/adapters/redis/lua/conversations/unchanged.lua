-- KEYS tenants that have conversations; ARGV micros since the last change at least, limit.
-- Answers {tenant, conversation} of each.
local before, found = text(micros() - ARGV[1]), {}
for _, tenant in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local left = ARGV[2] - #found
  if left <= 0 then
    break
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', CONVERSATIONS .. tenant, '-inf', before, 'LIMIT', 0, left)) do
    found[#found + 1] = { tenant, id }
  end
end
return found
