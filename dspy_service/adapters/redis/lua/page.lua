-- KEYS the indexes that a job must stand in
-- ARGV where to begin ('+', or '(' and an id), most jobs, most entries to look at, text that the fixed fields must hold …
-- Answers the records as one JSON text, newest first, whether there is more (0|1), and the last id that was looked at,
-- if any. JSON because the client reads one long text in half the time of thousands of short ones.
-- The texts are pairs of the metadata as JSON. They may stand elsewhere in a record too, so the caller looks again.
table.sort(KEYS, function(one, other)
  return redis.call('ZCARD', one) < redis.call('ZCARD', other)
end)

local function passes(id)
  for i = 2, #KEYS do
    if not redis.call('ZSCORE', KEYS[i], id) then
      return false
    end
  end
  local fixed = ARGV[4] and redis.call('HGET', JOB .. id, 'fixed') or ''
  for i = 4, #ARGV do
    if not string.find(fixed, ARGV[i], 1, true) then
      return false
    end
  end
  return true
end

local most, most_looks = tonumber(ARGV[2]), tonumber(ARGV[3])
local records, looks, last = {}, 0, nil
local ids = redis.call('ZREVRANGEBYLEX', KEYS[1], ARGV[1], '-', 'LIMIT', 0, most_looks + 1)
while looks < math.min(#ids, most_looks) and #records < most do
  looks = looks + 1
  last = ids[looks]
  if passes(last) then
    records[#records + 1] = redis.call('HGETALL', JOB .. last)
  end
end
return { cjson.encode(records), looks < #ids and 1 or 0, last }
