-- KEYS job, log
-- ARGV fence, name of the batch or '', eta micros from now or '', number of record fields, field, value, …,
--      event type, event data, …
-- Answers the last event's number, or nil for a stale fence. The cost does not depend on the log's length.
-- The last named batch is known by its name: when only its answer was lost, it comes again and changes nothing.
if not holds(KEYS[1], ARGV[1]) then
  return false
end
if ARGV[2] ~= '' then
  local name = ARGV[1] .. ':' .. ARGV[2]
  if redis.call('HGET', KEYS[1], 'batch') == name then
    return tonumber(redis.call('HGET', KEYS[1], 'seq'))
  end
  redis.call('HSET', KEYS[1], 'batch', name)
end
local now = stamp(KEYS[1])
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], 'eta', text(now + ARGV[3]))
end
local first_event = 5 + 2 * ARGV[4]
for i = 5, first_event - 1, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
local attempt = redis.call('HGET', KEYS[1], 'attempt')
for i = first_event, #ARGV, 2 do
  add_event(KEYS[1], KEYS[2], now, attempt, ARGV[i], ARGV[i + 1])
end
return tonumber(redis.call('HGET', KEYS[1], 'seq'))
