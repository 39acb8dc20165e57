-- KEYS job, log
-- ARGV fence, eta micros from now or '', number of record fields, field, value, …, event type, event data, …
-- Answers the last event's number, or nil for a stale fence. The cost does not depend on the log's length.
if not holds(KEYS[1], ARGV[1]) then
  return false
end
local now = stamp(KEYS[1])
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], 'eta', text(now + ARGV[2]))
end
local first_event = 4 + 2 * ARGV[3]
for i = 4, first_event - 1, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
local attempt = redis.call('HGET', KEYS[1], 'attempt')
for i = first_event, #ARGV, 2 do
  add_event(KEYS[1], KEYS[2], now, attempt, ARGV[i], ARGV[i + 1])
end
return tonumber(redis.call('HGET', KEYS[1], 'seq'))
