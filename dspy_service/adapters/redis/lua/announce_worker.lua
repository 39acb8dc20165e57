-- KEYS workers; ARGV worker id, what it says, micros to live
redis.call('HSET', KEYS[1], ARGV[1], text(micros() + ARGV[3]) .. ' ' .. ARGV[2])
return 1
