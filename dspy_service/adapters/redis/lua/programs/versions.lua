-- KEYS program; ARGV number that all are below or 0, limit.
-- Answers nil when there is no program, else {number, record} of each, newest first, and one more when there are more.
local latest = redis.call('HGET', KEYS[1], 'latest')
if not latest then
  return nil
end
local number, page = tonumber(latest), {}
local before = tonumber(ARGV[1])
if before > 0 and before <= number then
  number = before - 1
end
while number > 0 and #page <= tonumber(ARGV[2]) do
  page[#page + 1] = { number, redis.call('HGETALL', KEYS[1] .. ':v:' .. text(number)) }
  number = number - 1
end
return page
