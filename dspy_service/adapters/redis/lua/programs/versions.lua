-- KEYS program; ARGV number that all are below or 0, limit.
-- Answers nil when there is no program, else {number, record} of each, newest first, and one more when there are more.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return nil
end
local from = ARGV[1] == '0' and '+inf' or '(' .. ARGV[1]
local page = {}
for i, number in ipairs(redis.call('ZREVRANGEBYSCORE', numbers_key(KEYS[1]), from, '-inf', 'LIMIT', 0, ARGV[2] + 1)) do
  page[i] = { tonumber(number), redis.call('HGETALL', KEYS[1] .. ':v:' .. number) }
end
return page
