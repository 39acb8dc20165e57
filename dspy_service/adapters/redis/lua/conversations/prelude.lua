-- Put in front of every script about conversations. Keys are computed, which the one hash tag makes safe. Times are
-- microseconds since 1970 of Redis' own clock, passed as text because Lua would print them with 14 digits.

local CONVERSATION = '{dspy}:conversation:'
local CONVERSATIONS = '{dspy}:conversations:'
local TALKING = '{dspy}:conversations'

local function text(number)
  return string.format('%.0f', number)
end

local function micros()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function id_of(key)
  return string.sub(key, #CONVERSATION + 1)
end

local function belongs(key, tenant)
  return redis.call('HGET', key, 'tenant') == tenant
end

local function record(key)
  return { id_of(key), redis.call('HGETALL', key), redis.call('LINDEX', key .. ':writing', 0) or '' }
end

-- Says that a conversation changed now, which puts it first in the lists; returns the record.
local function touch(key)
  local known = redis.call('HMGET', key, 'tenant', 'owner', 'updated')
  local now = text(math.max(micros(), tonumber(known[3])))
  redis.call('HSET', key, 'updated', now)
  redis.call('SADD', TALKING, known[1])
  redis.call('ZADD', CONVERSATIONS .. known[1], now, id_of(key))
  redis.call('ZADD', CONVERSATIONS .. known[1] .. ':of:' .. known[2], now, id_of(key))
  return record(key)
end

local function message_key(key, id)
  return key .. ':m:' .. id
end

local function rated_key(tenant)
  return CONVERSATIONS .. tenant .. ':rated'
end
