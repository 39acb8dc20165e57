-- KEYS program, the tenant's programs, [idempotency]
-- ARGV name, digest, fixed fields, random text of this call, idempotency seconds
-- Answers {'created' | 'same', number, record} or {'conflict'}. The first version becomes `production`.
local function answer(number)
  local key = KEYS[1] .. ':v:' .. number
  local mine = redis.call('HGET', key, 'call') == ARGV[4]
  return { mine and 'created' or 'same', tonumber(number), redis.call('HGETALL', key) }
end

local earlier = KEYS[3] and redis.call('GET', KEYS[3])
if earlier then
  local number, digest = string.match(earlier, '^(%d+) (.*)$')
  if digest ~= ARGV[2] then
    return { 'conflict' }
  end
  return answer(number)
end
local latest = tonumber(redis.call('HGET', KEYS[1], 'latest') or 0)
local newest = redis.call('HMGET', KEYS[1] .. ':v:' .. text(latest), 'digest', 'status')
if newest[1] == ARGV[2] and newest[2] == 'active' then
  return answer(text(latest))
end
local now, number = text(micros()), text(latest + 1)
redis.call('HSET', KEYS[1] .. ':v:' .. number, 'digest', ARGV[2], 'fixed', ARGV[3], 'status', 'active', 'created', now,
  'call', ARGV[4])
redis.call('HSETNX', KEYS[1], 'created', now)
redis.call('HSET', KEYS[1], 'latest', number)
if latest == 0 then
  redis.call('HSET', KEYS[1], 'moves', 1, 'alias:production', '1 0 1 ' .. now .. ' ' .. ARGV[4])
  redis.call('ZADD', KEYS[2], 0, ARGV[1])
end
if KEYS[3] then
  redis.call('SET', KEYS[3], number .. ' ' .. ARGV[2], 'EX', ARGV[5])
end
return answer(number)
