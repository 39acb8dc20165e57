-- KEYS leases; ARGV error of a lost run, owner, owner, … that have died. Ends the runs that they held; whoever reaps next
-- is told. Sent again, it finds nothing more.
local dead = {}
for i = 2, #ARGV do
  dead[ARGV[i]] = true
end
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if dead[redis.call('HGET', RUN .. id, 'owner')] then
    end_without_holder(find(id), ARGV[1])
  end
end
