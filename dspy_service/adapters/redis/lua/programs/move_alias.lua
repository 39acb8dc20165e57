-- KEYS program; ARGV alias, version, revision that it must stand at or '', random text of this call.
-- Answers {'stands', alias}, {'absent'}, {'retired'} or {'elsewhere', revision}.
local stands = redis.call('HGET', KEYS[1], 'alias:' .. ARGV[1])
local version, _, revision, _, call = string.match(stands or '', '^(%d+) (%d+) (%d+) (%d+) (%S+)$')
if call == ARGV[4] then
  return { 'stands', stands }
end
local status = redis.call('HGET', KEYS[1] .. ':v:' .. ARGV[2], 'status')
if not status then
  return { 'absent' }
end
if status ~= 'active' then
  return { 'retired' }
end
if ARGV[3] ~= '' and ARGV[3] ~= (revision or '0') then
  return { 'elsewhere', tonumber(revision or 0) }
end
if version ~= ARGV[2] then
  local moves = redis.call('HINCRBY', KEYS[1], 'moves', 1)
  stands = table.concat({ ARGV[2], version or '0', moves, text(micros()), ARGV[4] }, ' ')
  redis.call('HSET', KEYS[1], 'alias:' .. ARGV[1], stands)
  redis.call('DEL', gone_alias_key(KEYS[1], ARGV[1]))
end
return { 'stands', stands }
