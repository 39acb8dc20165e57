-- KEYS program; ARGV alias, revision that it must stand at or '', random text of this call.
-- Answers {'stands', alias}, {'absent'}, {'first'}, {'retired', version} or {'elsewhere', revision}.
local stands = redis.call('HGET', KEYS[1], 'alias:' .. ARGV[1])
local version, previous, revision, _, call = string.match(stands or '', '^(%d+) (%d+) (%d+) (%d+) (%S+)$')
if call == ARGV[3] then
  return { 'stands', stands }
end
if ARGV[2] ~= '' and ARGV[2] ~= (revision or '0') and redis.call('EXISTS', KEYS[1]) == 1 then
  return { 'elsewhere', tonumber(revision or 0) }
end
if not version then
  return { 'absent' }
end
if previous == '0' then
  return { 'first' }
end
if redis.call('HGET', KEYS[1] .. ':v:' .. previous, 'status') ~= 'active' then
  return { 'retired', tonumber(previous) }
end
local moves = redis.call('HINCRBY', KEYS[1], 'moves', 1)
stands = table.concat({ previous, version, moves, text(micros()), ARGV[3] }, ' ')
redis.call('HSET', KEYS[1], 'alias:' .. ARGV[1], stands)
return { 'stands', stands }
