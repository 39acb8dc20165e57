-- Put in front of every script about served programs. Times are microseconds since 1970 of Redis' own clock, passed as
-- text because Lua would print them with 14 digits.

local function text(number)
  return string.format('%.0f', number)
end

local function micros()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- The numbers of a program's versions that were not deleted. Before any could be, there was no such list.
local function numbers_key(program)
  local key = program .. ':numbers'
  if redis.call('EXISTS', key) == 0 then
    for number = 1, tonumber(redis.call('HGET', program, 'latest') or 0) do
      redis.call('ZADD', key, number, number)
    end
  end
  return key
end

-- Where it is noted that no version names files with this digest; see `leave`.
local function left_key(program, digest)
  return program .. ':left:' .. digest
end

-- Where the call stands that deleted an alias lately.
local function gone_alias_key(program, alias)
  return program .. ':alias:' .. alias .. ':gone'
end

-- The first alias by name that names a version, or any version where the number is nil; nil when there is none.
local function alias_of(program, number, except)
  local record, naming = redis.call('HGETALL', program), nil
  for i = 1, #record, 2 do
    local alias = string.match(record[i], '^alias:(.*)$')
    local names = alias and (number == nil or string.match(record[i + 1], '^%d+') == number)
    if names and alias ~= except and (not naming or alias < naming) then
      naming = alias
    end
  end
  return naming
end
