-- KEYS unsettled jobs by the time of their end; ARGV micros since then at least, most ids. Answers ids, oldest end first.
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(micros() - ARGV[1]), 'LIMIT', 0, ARGV[2])
