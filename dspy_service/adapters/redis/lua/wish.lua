-- KEYS job; ARGV job id, wish (cancel, pause or go_on)
-- Answers {'done', record}, {'missing'} or {'forbidden', status, pending wish or 'go_on'}. Asked twice, nothing changes.
local job, wish = find(ARGV[1]), ARGV[2]
if not job then
  return { 'missing' }
end
local aim = ({ cancel = 'cancelled', pause = 'paused', go_on = 'pending' })[wish]
if HELD[job.status] then
  if job.wish == 'cancel' and wish ~= 'cancel' then
    return { 'forbidden', job.status, job.wish }
  end
  if wish == 'go_on' then
    redis.call('HDEL', KEYS[1], 'wish')
  elseif has_gone_silent(job) then
    job.wish = wish
    lose(job)
  else
    redis.call('HSET', KEYS[1], 'wish', wish)
  end
elseif job.status ~= aim then
  if ENDED[job.status] then
    return { 'forbidden', job.status, 'go_on' }
  end
  local now = stamp(KEYS[1])
  if wish == 'cancel' then
    end_without_worker(job, aim, now, { reason = 'cancelled', message = 'cancelled' })
  else
    become(job, aim, now, {})
  end
end
return { 'done', redis.call('HGETALL', KEYS[1]) }
