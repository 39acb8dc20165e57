-- KEYS program, the tenant's programs, [idempotency]
-- ARGV name, digest, fixed fields, random text of this call, idempotency seconds, most programs of the tenant, most
--   versions of a program (0: any number)
-- Answers {'created' | 'same', number, record}, {'conflict'}, {'full', 'programs' | 'versions'} or {'leaving'} (files
-- with this digest are just being deleted). The first version becomes `production`.
local function answer(number)
  local key = KEYS[1] .. ':v:' .. number
  local mine = redis.call('HGET', key, 'call') == ARGV[4]
  return { mine and 'created' or 'same', tonumber(number), redis.call('HGETALL', key) }
end

local function is_full(most, key)
  return tonumber(most) > 0 and redis.call('ZCARD', key) >= tonumber(most)
end

local earlier = KEYS[3] and redis.call('GET', KEYS[3])
if earlier then
  local number, digest = string.match(earlier, '^(%d+) (.*)$')
  if redis.call('EXISTS', KEYS[1] .. ':v:' .. number) == 1 then -- else it was deleted meanwhile
    if digest ~= ARGV[2] then
      return { 'conflict' }
    end
    return answer(number)
  end
end
local record = redis.call('HMGET', KEYS[1], 'latest', 'made')
local latest, made = record[1], record[2] or record[1]
if latest then
  local newest = redis.call('HMGET', KEYS[1] .. ':v:' .. latest, 'digest', 'status')
  if newest[1] == ARGV[2] and newest[2] == 'active' then
    return answer(latest)
  end
elseif is_full(ARGV[6], KEYS[2]) then
  return { 'full', 'programs' }
end
if is_full(ARGV[7], numbers_key(KEYS[1])) then
  return { 'full', 'versions' }
end
local left = left_key(KEYS[1], ARGV[2])
if string.match(redis.call('GET', left) or '', '^leaving') then
  return { 'leaving' }
end
redis.call('DEL', left)
local now = text(micros())
if not latest then
  -- A program that was deleted lately goes on with its numbers, which runs and conversations may still name.
  local moves
  made, moves = string.match(redis.call('GET', KEYS[1] .. ':gone') or '0 0 ', '^(%d+) (%d+) ')
  redis.call('HSET', KEYS[1], 'created', now, 'moves', moves)
end
local number = text(made + 1)
redis.call('HSET', KEYS[1] .. ':v:' .. number, 'digest', ARGV[2], 'fixed', ARGV[3], 'status', 'active', 'created', now,
  'call', ARGV[4])
redis.call('ZADD', numbers_key(KEYS[1]), number, number)
redis.call('HSET', KEYS[1], 'latest', number, 'made', number)
if not latest then
  local revision = text(redis.call('HINCRBY', KEYS[1], 'moves', 1))
  redis.call('HSET', KEYS[1], 'alias:production', number .. ' 0 ' .. revision .. ' ' .. now .. ' ' .. ARGV[4])
  redis.call('ZADD', KEYS[2], 0, ARGV[1])
end
if KEYS[3] then
  redis.call('SET', KEYS[3], number .. ' ' .. ARGV[2], 'EX', ARGV[5])
end
return answer(number)
