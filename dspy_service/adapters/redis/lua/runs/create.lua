-- KEYS run, [idempotency]
-- ARGV run id, schema version, tenant, other fixed fields, first fact, key of the conversation's live runs or '',
--   multitask strategy, body hash, idempotency seconds, most live runs (0: any number), seconds that the record and the
--   log are kept after the end, micros without a reader that end the run or '', seconds that a day's usage is kept, what
--   the usage is counted under, whether what it comes to is kept as long as the record 0|1, place of its message in the
--   conversation (0: none)
-- Answers {'created', record}, {'repeated'} (this very call, its reply was lost), {'replayed', id}, {'conflict'},
-- {'busy', live run}, {'full'} or {'overtaken'}.
local earlier = KEYS[2] and redis.call('GET', KEYS[2])
if earlier then
  local id, hash = string.match(earlier, '^(%S+) (.*)$')
  if id ~= ARGV[1] and redis.call('EXISTS', RUN .. id) == 1 then
    if hash ~= ARGV[8] then
      return { 'conflict' }
    end
    return { 'replayed', id }
  end
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  return { 'repeated' }
end
local talk = ARGV[6] ~= '' and ARGV[6] or nil
local ahead = talk and live_in(talk) or {}
if ahead[1] and ARGV[7] == 'reject' then
  return { 'busy', ahead[1].id }
end
local most = tonumber(ARGV[10])
if most > 0 and redis.call('SCARD', LIVE .. ARGV[3]) >= most then
  return { 'full' }
end
local place = talk and tonumber(ARGV[17]) or 0
if place > 0 and place <= tonumber(redis.call('GET', talk .. ':place') or 0) then
  return { 'overtaken' }
end

local now = micros()
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'tenant', ARGV[3], 'fixed', ARGV[4], 'status', 'queued', 'created', text(now),
  'stamp', text(now), 'fence', 0, 'seq', 0, 'base', 0, 'batch', 0, 'keep', ARGV[11], 'keep_log', ARGV[12],
  'keep_usage', ARGV[14], 'account', ARGV[15], 'retell', ARGV[16])
redis.call('SADD', LIVE .. ARGV[3], ARGV[1])
if KEYS[2] then
  redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. ARGV[8], 'EX', ARGV[9])
end
if ARGV[13] ~= '' then
  redis.call('ZADD', UNREAD, text(now + ARGV[13]), ARGV[1])
end
if talk then
  redis.call('HSET', KEYS[1], 'talk', talk)
  redis.call('RPUSH', talk, ARGV[1])
end
if place > 0 then
  redis.call('SET', talk .. ':place', place, 'EX', ARGV[11]) -- outlives the run: its messages stay where they are
end
local run = find(ARGV[1])
write(run, now, { ARGV[5] }, 1)
local reason = ({ interrupt = 'interrupted', rollback = 'rolled_back' })[ARGV[7]]
if reason then
  for i = #ahead, 1, -1 do -- the newest first, so that none of them begins
    ask_to_end(ahead[i], reason)
  end
end
if not talk or redis.call('LINDEX', talk, 0) == ARGV[1] then
  begin_to_wait(run)
end
return { 'created', redis.call('HGETALL', KEYS[1]) }
