-- KEYS runs that end without a reader; ARGV run id, micros from now without another word that end it
redis.call('ZADD', KEYS[1], 'XX', 'GT', text(micros() + ARGV[2]), ARGV[1])
