-- KEYS job; ARGV job id, proof, score, JSON of the best so far. Answers 1, or nil for a stale proof.
-- A new attempt finds its first programs again: they do not take the place of a better one that an earlier one left.
if not holds(KEYS[1], ARGV[2]) then
  return false
end
local best = redis.call('HGET', KEYS[1], 'best')
if not best or cjson.decode(best).score <= tonumber(ARGV[3]) then
  redis.call('HSET', KEYS[1], 'best', ARGV[4])
end
return 1
