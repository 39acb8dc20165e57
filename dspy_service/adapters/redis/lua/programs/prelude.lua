-- Put in front of every script about served programs. Times are microseconds since 1970 of Redis' own clock, passed as
-- text because Lua would print them with 14 digits.

local function text(number)
  return string.format('%.0f', number)
end

local function micros()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
