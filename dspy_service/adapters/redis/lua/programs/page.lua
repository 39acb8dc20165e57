-- KEYS the tenant's programs; ARGV the name before or '', limit, beginning of a program's key.
-- Answers {name, record} of each by name, one more than `limit` when there are more.
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local page = {}
for i, name in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], from, '+', 'LIMIT', 0, ARGV[2] + 1)) do
  page[i] = { name, redis.call('HGETALL', ARGV[3] .. name) }
end
return page
