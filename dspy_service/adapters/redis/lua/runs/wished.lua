-- KEYS runs; ARGV their ids. Answers the ids of those that somebody asked to end, or that are not in progress.
local ids = {}
for i, key in ipairs(KEYS) do
  local record = redis.call('HMGET', key, 'status', 'wish')
  if record[1] ~= 'in_progress' or record[2] then
    ids[#ids + 1] = ARGV[i]
  end
end
return ids
