-- KEYS program; ARGV digest, random text of the call that was told to delete its files. They are gone.
local left = left_key(KEYS[1], ARGV[1])
if redis.call('GET', left) == 'leaving ' .. ARGV[2] then
  redis.call('DEL', left)
end
