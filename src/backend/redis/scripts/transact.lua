-- KEYS: for each write its key; for one of a sorted set its companion, too. ARGV: for each write what it is, how many
-- arguments follow, and those. Answers OK; or the positions of the conditions that failed; or an error and its position.
local SORTED = { zadd = true, zrem = true, zincr_by = true }
local TYPE = { incr_by = 'string', sadd = 'set', srem = 'set', hset = 'hash', hset_nx = 'hash', hdel = 'hash',
  zadd = 'zset', zrem = 'zset', zincr_by = 'zset' }
-- What carries out a write, on its key and on its companion: one that the user may not run must not come in the middle.
local RUNS = { set = { 'SET', '', '' }, delete = { 'UNLINK', '' }, incr_by = { 'INCRBY', '', '0' }, sadd = { 'SADD', '', '' },
  srem = { 'SREM', '', '' }, hset = { 'HSET', '', '', '' }, hset_nx = { 'HSET', '', '', '' }, hdel = { 'HDEL', '', '' },
  zadd = { 'ZADD', '', '0', '' }, zrem = { 'ZREM', '', '' }, zincr_by = { 'ZINCRBY', '', '0', '' } }
local may = {}

local function denied(run, key)
  -- Before Redis 7 this cannot be asked.
  if not redis.acl_check_cmd then return false end
  if may[run[1]] == nil then
    run[2] = key
    may[run[1]] = redis.acl_check_cmd(unpack(run))
  end
  return not may[run[1]]
end
local MIN, MAX = '-9223372036854775808', '9223372036854775807'

local function each(visit)
  local k, a, position = 1, 1, 0
  while ARGV[a] do
    local what, first, last = ARGV[a], a + 2, a + 1 + ARGV[a + 1]
    visit(position, what, first, last, KEYS[k], SORTED[what] and KEYS[k + 1])
    k, a, position = k + (SORTED[what] and 2 or 1), last + 1, position + 1
  end
end

-- Of integers as text: Lua's numbers are too short for them.
local function at_most(a, b)
  local negative = a:sub(1, 1) == '-'
  if negative ~= (b:sub(1, 1) == '-') then return negative end
  if #a ~= #b then return (#a < #b) ~= negative end
  return a == b or (a < b) ~= negative
end

local function is_integer(text)
  return (text == '0' or text:match('^%-?[1-9]%d*$')) and #text <= 20 and at_most(MIN, text) and at_most(text, MAX)
end

local failed, wrong, wrong_at = {}, nil, nil
each(function(position, what, first, last, key, companion)
  local kind = redis.call('TYPE', key).ok
  local holds, refused = true, nil
  if what == 'set' then
    local seen, condition = kind ~= 'none' and kind ~= 'zset', ARGV[first]
    if condition == 'not_exists' then
      holds = not seen
    elseif condition == 'exists' then
      holds = seen
    elseif condition == 'equals' then
      holds = kind == 'string' and redis.call('GET', key) == ARGV[first + 2]
    end
    if holds and kind == 'zset' then refused = 'WRONGTYPE' end
  elseif what == 'delete' then
    holds = ARGV[first] == '0' or (kind ~= 'none' and kind ~= 'zset')
  elseif kind ~= 'none' and kind ~= TYPE[what] then
    refused = 'WRONGTYPE'
  elseif what == 'hset_nx' then
    holds = redis.call('HEXISTS', key, ARGV[first]) == 0
  elseif what == 'incr_by' and kind == 'string' then
    local now = redis.call('GET', key)
    if not is_integer(now) then
      refused = 'WRONGTYPE'
    elseif not (at_most(ARGV[first + 1], now) and at_most(now, ARGV[first + 2])) then
      refused = 'OVERFLOW'
    end
  elseif what == 'zadd' or what == 'zincr_by' then
    local score = redis.call('ZSCORE', key, ARGV[first + 1])
    if what == 'zadd' then
      holds = ARGV[first + 2] == '0' or not score
    elseif (score == 'inf' and ARGV[first] == '-inf') or (score == '-inf' and ARGV[first] == 'inf') then
      refused = 'OVERFLOW'
    end
  end
  if companion then
    local beside = redis.call('TYPE', companion).ok
    if beside ~= 'none' and beside ~= 'hash' then refused = 'WRONGTYPE' end
  end
  if denied(RUNS[what], key)
    or (companion and (denied(RUNS.hdel, companion) or (last == first + 3 and denied(RUNS.hset, companion)))) then
    refused = 'NOPERM'
  end
  if refused then
    if not wrong then wrong, wrong_at = refused, position end
  elseif not holds then
    failed[#failed + 1] = position
  end
end)
if #failed > 0 then return failed end
if wrong then return { wrong, wrong_at } end

local function in_parts(command, key, first, last)
  for i = first, last, 4000 do redis.call(command, key, unpack(ARGV, i, math.min(i + 3999, last))) end
end

each(function(_, what, first, last, key, companion)
  if what == 'set' then
    redis.call('SET', key, ARGV[first + 1])
  elseif what == 'delete' then
    if redis.call('TYPE', key).ok ~= 'zset' then redis.call('UNLINK', key) end
  elseif what == 'incr_by' then
    redis.call('INCRBY', key, ARGV[first])
  elseif what == 'hset_nx' then
    redis.call('HSET', key, ARGV[first], ARGV[first + 1])
  elseif what == 'zadd' then
    redis.call('ZADD', key, ARGV[first], ARGV[first + 1])
    if last == first + 3 then
      redis.call('HSET', companion, ARGV[first + 1], ARGV[first + 3])
    else
      redis.call('HDEL', companion, ARGV[first + 1])
    end
  elseif what == 'zrem' then
    redis.call('ZREM', key, ARGV[first])
    redis.call('HDEL', companion, ARGV[first])
  elseif what == 'zincr_by' then
    local before = redis.call('ZSCORE', key, ARGV[first + 1])
    redis.call('ZINCRBY', key, ARGV[first], ARGV[first + 1])
    if not before then redis.call('HDEL', companion, ARGV[first + 1]) end
  else
    in_parts(what:upper(), key, first, last)
  end
end)
return redis.status_reply('OK')
