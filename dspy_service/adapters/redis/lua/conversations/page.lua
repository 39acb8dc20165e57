-- KEYS the list; ARGV the conversation before or '', limit.
-- Answers the records, the one that changed last first, and one more than `limit` when there are more; nil when the
-- conversation before is not in the list.
local first = 0
if ARGV[1] ~= '' then
  local rank = redis.call('ZREVRANK', KEYS[1], ARGV[1])
  if not rank then
    return nil
  end
  first = rank + 1
end
local page = {}
for i, id in ipairs(redis.call('ZREVRANGE', KEYS[1], first, first + ARGV[2])) do
  page[i] = record(CONVERSATION .. id)
end
return page
