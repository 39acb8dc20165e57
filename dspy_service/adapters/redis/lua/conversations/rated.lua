-- KEYS the tenant's rated answers; ARGV the place before or '', limit.
-- Answers {place, record, message} of each, in the order of their ids.
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local page = {}
for i, place in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], from, '+', 'LIMIT', 0, ARGV[2])) do
  local id, message = string.match(place, '^(%S+) (%S+)$')
  local key = CONVERSATION .. id
  page[i] = { place, record(key), redis.call('HGETALL', message_key(key, message)) }
end
return page
