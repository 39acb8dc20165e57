-- KEYS conversation; ARGV tenant. Answers the record, or nil.
return belongs(KEYS[1], ARGV[1]) and record(KEYS[1]) or nil
