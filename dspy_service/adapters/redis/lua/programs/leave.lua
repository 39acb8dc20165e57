-- KEYS program; ARGV digest, micros for which no version must have named it, random text of this call, seconds that a
-- deletion may take, seconds that a note is kept.
-- Answers whether its files may be deleted now; until that has surely been done, no version may name it. Else notes
-- since when nobody does.
local left = left_key(KEYS[1], ARGV[1])
for _, number in ipairs(redis.call('ZRANGE', numbers_key(KEYS[1]), 0, -1)) do
  if redis.call('HGET', KEYS[1] .. ':v:' .. number, 'digest') == ARGV[1] then
    redis.call('DEL', left)
    return 0
  end
end
local now, note = micros(), redis.call('GET', left)
local since = tonumber(note or now) -- nil while somebody else deletes them, who may have gone
if since and now - since < tonumber(ARGV[2]) then
  redis.call('SET', left, text(since), 'EX', ARGV[5])
  return 0
end
redis.call('SET', left, 'leaving ' .. ARGV[3], 'EX', ARGV[4])
return 1
