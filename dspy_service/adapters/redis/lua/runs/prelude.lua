-- Put in front of every script about runs: where things stand, who may write, a run's log, and what an end takes with it.
-- Keys are computed, which the one hash tag makes safe. Times are microseconds since 1970 of Redis' own clock, passed as
-- text because Lua would print them with 14 digits.

local RUN = '{dspy}:run:'
local WAITING = '{dspy}:runs:waiting'
local WORKING = '{dspy}:runs:working:'
local LIVE = '{dspy}:runs:live:'
local SERVED = '{dspy}:runs:served'
local LEASES = '{dspy}:runs:leases'
local UNREAD = '{dspy}:runs:unread'
local UNTOLD = '{dspy}:runs:untold'
local USAGE = '{dspy}:runs:usage:'
local TOTALS = '{dspy}:runs:totals'
local SUBMITTED = '{dspy}:runs:submitted'
local EVENTS = '{dspy}:run_events'

local KEPT_EVENTS = 10000 -- of a log; the same as in adapters/run_record.py
local TOLD_AT_ONCE = 256 -- events: some two milliseconds; likewise
local KEPT = { -- facts that no text replaces
  start = true, sources = true, field_done = true, final = true, error = true, cancelled = true, ['end'] = true,
}
local DAY = 86400 * 1000000

local function text(number)
  return string.format('%.0f', number)
end

local function micros()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- What a script must know about a run; nil when there is none.
local function find(id)
  local key = RUN .. id
  local record = redis.call('HMGET', key, 'status', 'tenant', 'talk', 'created', 'wish', 'shown', 'seq', 'base', 'fence',
    'epoch', 'batch', 'stamp', 'told', 'retell')
  if not record[1] then
    return nil
  end
  return {
    id = id, key = key, log = key .. ':log', short = key .. ':short', status = record[1], tenant = record[2],
    talk = record[3], created = tonumber(record[4]), wish = record[5], shown = record[6], seq = tonumber(record[7]),
    base = tonumber(record[8]), fence = record[9], epoch = record[10], batch = tonumber(record[11]),
    stamp = tonumber(record[12]), told = tonumber(record[13] or record[8]), is_retold = record[14] == '1',
  }
end

-- Whether the writer with this proof, '<fence> <epoch>', is the one that the record names; he may not know the epoch.
local function claimed_by(run, proof)
  local fence, epoch = string.match(proof, '^(%d+) ?(.*)$')
  return run.fence == fence and (epoch == '' or not run.epoch or run.epoch == epoch)
end

local function holds(run, proof)
  return run and run.status == 'in_progress' and claimed_by(run, proof)
end

-- A time for one write; never earlier than the one before, whatever the machine's clock does.
local function stamp(run)
  run.stamp = math.max(micros(), run.stamp)
  return run.stamp
end

-- Adds one entry of a log to what stands for several; a fact's JSON begins with its type.
local function fold_in(fold, entry)
  local json = entry[2][6]
  local kind = string.match(json, '^{"type":"([a-z_]+)"')
  if KEPT[kind] then
    fold.kept[#fold.kept + 1] = { seq = string.match(entry[1], '^%d+'), t = entry[2][4], d = json }
  elseif kind == 'token' or kind == 'reasoning' or kind == 'replace' then
    local fact = cjson.decode(json)
    local name = fact.predictor .. '\n' .. fact.field .. '\n' .. fact.turn
    local field = fold.named[name]
    if not field then
      field = { type = 'token', field = fact.field, predictor = fact.predictor, turn = fact.turn, offset = 0, parts = {} }
      fold.named[name], fold.fields[#fold.fields + 1] = field, field
    end
    if kind == 'replace' then
      field.type, field.offset, field.parts = 'replace', nil, {}
    end
    field.parts[#field.parts + 1] = fact.text
  end
  fold.t = entry[2][4]
end

-- Tells the events up to number `last` in few words, behind what those before them came to. They are told piece by piece
-- while a run goes on, so that neither its end nor a trim has all of it to read.
local function tell(run, last)
  local fold = { kept = {}, fields = {}, named = {} }
  for _, entry in ipairs(redis.call('XRANGE', run.log, text(run.told + 1) .. '-0', text(last) .. '-0')) do
    fold_in(fold, entry)
  end
  for _, field in ipairs(fold.fields) do
    field.text, field.parts = table.concat(field.parts), nil
  end
  fold.seq, fold.named = text(last), nil
  redis.call('RPUSH', run.short, cjson.encode(fold))
  run.told = last
end

-- Keeps a log short. What leaves it lives on as the texts that it comes to, so that no reader sees a gap.
local function trim(run)
  while run.seq - run.base >= KEPT_EVENTS + TOLD_AT_ONCE do
    run.base = run.base + TOLD_AT_ONCE
    if run.told < run.base then
      tell(run, run.base)
    end
    redis.call('XTRIM', run.log, 'MINID', text(run.base + 1) .. '-0')
  end
end

-- Appends facts[first], facts[first + 1], … and tells the readers. Constant field names: the stream stores them once.
local function write(run, now, facts, first)
  for i = first, #facts do
    run.seq = run.seq + 1
    redis.call('XADD', run.log, text(run.seq) .. '-0', 'v', 1, 't', text(now), 'd', facts[i])
  end
  while run.is_retold and run.seq - run.told >= TOLD_AT_ONCE do
    tell(run, run.told + TOLD_AT_ONCE)
  end
  trim(run)
  redis.call('HSET', run.key, 'seq', text(run.seq), 'base', text(run.base), 'told', text(run.told), 'stamp', text(now))
  redis.call('PUBLISH', EVENTS, run.id)
end

-- Wakes the workers: there is something to take, or somebody asked for an end.
local function wake()
  redis.call('INCR', SUBMITTED)
  redis.call('PUBLISH', SUBMITTED, '')
end

local function begin_to_wait(run)
  redis.call('ZADD', WAITING .. ':' .. run.tenant, text(run.created), run.id)
  redis.call('SADD', WAITING, run.tenant)
  wake()
end

local function wait_no_more(run)
  redis.call('ZREM', WAITING .. ':' .. run.tenant, run.id)
  if redis.call('EXISTS', WAITING .. ':' .. run.tenant) == 0 then
    redis.call('SREM', WAITING, run.tenant)
  end
end

local function let_go(run)
  redis.call('ZREM', LEASES, run.id)
  redis.call('SREM', WORKING .. run.tenant, run.id)
end

-- The live runs of a conversation, oldest first.
local function live_in(talk)
  local runs = {}
  for _, id in ipairs(redis.call('LRANGE', talk, 0, -1)) do
    local run = find(id)
    if run then
      runs[#runs + 1] = run
    else
      redis.call('LREM', talk, 0, id)
    end
  end
  return runs
end

-- Lets the next run of a conversation begin.
local function pass_on(run)
  redis.call('LREM', run.talk, 0, run.id)
  local heir = live_in(run.talk)[1]
  if heir and heir.status == 'queued' then
    begin_to_wait(heir)
  end
end

-- Counts an ended run, and what it came to by its record, on the UTC day of its end and in all.
local function count(run, status, now)
  local record = redis.call('HMGET', run.key, 'account', 'spent', 'keep_usage')
  if not record[1] then
    return -- it was made before runs were counted
  end
  local figures = record[2] and cjson.decode(record[2]) or {}
  figures[status] = 1
  local day = USAGE .. run.tenant .. ':' .. text(math.floor(now / DAY))
  for figure, number in pairs(figures) do -- a provider that tells absurd numbers must not keep a run from ending
    redis.pcall('HINCRBY', day, record[1] .. ':' .. figure, text(number))
    redis.pcall('HINCRBY', TOTALS, figure, text(number))
  end
  redis.call('EXPIRE', day, record[3])
end

-- The one way to end a run: `facts` from number `first` on, then `end`, which is the last event of all.
local function end_run(run, status, now, facts, first)
  local last = { unpack(facts, first) }
  last[#last + 1] = '{"type":"end","status":"' .. status .. '"}'
  write(run, now, last, 1)
  redis.call('HSET', run.key, 'status', status, 'completed', text(now))
  count(run, status, now)
  if run.status == 'queued' then
    wait_no_more(run)
  else
    let_go(run)
  end
  run.status = status
  redis.call('SREM', LIVE .. run.tenant, run.id)
  redis.call('ZREM', UNREAD, run.id)
  local keep = redis.call('HMGET', run.key, 'keep', 'keep_log')
  if run.is_retold and run.told < run.seq then
    tell(run, run.seq)
  end
  redis.call('EXPIRE', run.key, keep[1])
  redis.call('EXPIRE', run.log, keep[2])
  redis.call('EXPIRE', run.short, keep[run.is_retold and 1 or 2])
  if run.talk then
    pass_on(run)
  end
end

-- An end that no worker wrote: whoever held the run writes nothing more, and whoever reaps is told.
local function end_without_worker(run, status, fact)
  run.fence = text(redis.call('HINCRBY', run.key, 'fence', 1))
  redis.call('HDEL', run.key, 'epoch', 'owner')
  redis.call('RPUSH', UNTOLD, run.id)
  end_run(run, status, stamp(run), { fact }, 1)
end

local function end_as_asked(run)
  end_without_worker(run, 'cancelled', '{"type":"cancelled","reason":"' .. run.wish .. '"}')
end

-- `failure`: JSON of the error.
local function end_as_lost(run, failure)
  redis.call('HSET', run.key, 'error', failure)
  end_without_worker(run, 'failed',
    '{"type":"error","error":' .. failure .. ',"partial":' .. (run.shown and 'true' or 'false') .. '}')
end

-- Ends a run whose worker is gone: as it was asked to, or as lost.
local function end_without_holder(run, failure)
  if run.wish then
    end_as_asked(run)
  else
    end_as_lost(run, failure)
  end
end

-- Lets a live run end: at once when nobody works at it, else by its worker.
local function ask_to_end(run, reason)
  if not run.wish or reason == 'rolled_back' then
    run.wish = reason
    redis.call('HSET', run.key, 'wish', reason)
  end
  if run.status == 'queued' or tonumber(redis.call('ZSCORE', LEASES, run.id) or 0) <= micros() then
    end_as_asked(run)
  else
    redis.call('ZREM', UNREAD, run.id)
    wake()
  end
end
