-- KEYS program; ARGV version.
-- Answers {'retired', record}, {'absent'} or {'in use', alias}, the first one by name.
local key = KEYS[1] .. ':v:' .. ARGV[1]
if redis.call('EXISTS', key) == 0 then
  return { 'absent' }
end
local program, naming = redis.call('HGETALL', KEYS[1]), nil
for i = 1, #program, 2 do
  local alias = string.match(program[i], '^alias:(.*)$')
  if alias and string.match(program[i + 1], '^%d+') == ARGV[1] and (not naming or alias < naming) then
    naming = alias
  end
end
if naming then
  return { 'in use', naming }
end
redis.call('HSET', key, 'status', 'retired')
return { 'retired', redis.call('HGETALL', key) }
