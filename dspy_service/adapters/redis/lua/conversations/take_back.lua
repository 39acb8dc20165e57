-- KEYS conversation; ARGV tenant, message. Answers the record, or nil. When the head goes, the newest message that is
-- left becomes it.
local function remove(id)
  local key = message_key(KEYS[1], id)
  local known = redis.call('HMGET', key, 'parent', 'run', 'tokens')
  redis.call('DEL', key)
  redis.call('LREM', KEYS[1] .. ':order', 1, id)
  redis.call('LREM', KEYS[1] .. ':writing', 0, known[2])
  redis.call('HINCRBY', KEYS[1], 'count', -1)
  redis.call('HINCRBY', KEYS[1], 'tokens', -known[3])
  redis.call('ZREM', rated_key(ARGV[1]), id_of(KEYS[1]) .. ' ' .. id)
  if redis.call('HGET', KEYS[1], 'head') == id then
    redis.call('HSET', KEYS[1], 'head', redis.call('LINDEX', KEYS[1] .. ':order', -1) or '')
  end
  return known[1]
end

-- Puts what followed one message behind another; returns whether another answer stands there already.
local function follow(before, parent)
  local is_answered = false
  for _, id in ipairs(redis.call('LRANGE', KEYS[1] .. ':order', 0, -1)) do
    local key = message_key(KEYS[1], id)
    local known = redis.call('HMGET', key, 'parent', 'run')
    if known[1] == before then
      redis.call('HSET', key, 'parent', parent)
    elseif known[1] == parent and known[2] ~= '' then
      is_answered = true
    end
  end
  return is_answered
end

if not belongs(KEYS[1], ARGV[1]) then
  return nil
end
if redis.call('EXISTS', message_key(KEYS[1], ARGV[2])) == 1 then
  local question = remove(ARGV[2])
  local is_answered = follow(ARGV[2], question)
  if question ~= '' and not is_answered and redis.call('HGET', message_key(KEYS[1], question), 'run') == '' then
    follow(question, remove(question))
  end
  touch(KEYS[1])
end
return record(KEYS[1])
