-- KEYS job
-- ARGV job id, proof, name of the batch or '', eta micros from now or '', number of record fields, field, value, …,
--      event type, event data, …
-- Answers the last event's number, or nil for a stale proof. The cost does not depend on the log's length.
-- The last named batch is known by its name: when only its answer was lost, it comes again and changes nothing.
if not holds(KEYS[1], ARGV[2]) then
  return false
end
local record = redis.call('HMGET', KEYS[1], 'seq', 'batch', 'attempt')
local seq = tonumber(record[1])
if ARGV[3] ~= '' then
  if record[2] == ARGV[3] then
    return seq
  end
  redis.call('HSET', KEYS[1], 'batch', ARGV[3])
end
local now = stamp(KEYS[1])
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'eta', text(now + ARGV[4]))
end
local first_event = 6 + 2 * ARGV[5]
for i = 6, first_event - 1, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
for i = first_event, #ARGV, 2 do
  seq = add_event(KEYS[1], KEYS[1] .. ':events', now, record[3], ARGV[i], ARGV[i + 1])
end
if first_event < #ARGV then
  tell_readers(ARGV[1])
end
return seq
