-- KEYS program; ARGV alias, revision that it must stand at or '', random text of this call, seconds that its answer is
-- remembered.
-- Answers {'gone'}, {'absent'} or {'elsewhere', revision}.
local gone = gone_alias_key(KEYS[1], ARGV[1])
if redis.call('GET', gone) == ARGV[3] then
  return { 'gone' }
end
local stands = redis.call('HGET', KEYS[1], 'alias:' .. ARGV[1])
local revision = string.match(stands or '', '^%d+ %d+ (%d+) ')
if ARGV[2] ~= '' and ARGV[2] ~= (revision or '0') and redis.call('EXISTS', KEYS[1]) == 1 then
  return { 'elsewhere', tonumber(revision or 0) }
end
if not stands then
  return { 'absent' }
end
redis.call('HDEL', KEYS[1], 'alias:' .. ARGV[1])
redis.call('SET', gone, ARGV[3], 'EX', ARGV[4])
return { 'gone' }
