-- KEYS: for each write its key; for one of a sorted set its companion, too. ARGV: the mark of a
-- sorted set without a companion (see mod.rs); then for each write its name and its arguments; a
-- list starts with its length. Answers OK; or the positions of the conditions that failed; or an
-- error and its position.
local COUNT = { set = 1, set_nx = 1, set_xx = 1, set_eq = 2, delete = 0, delete_xx = 0, incr_by = 3, hset_nx = 2,
  zadd = 2, zadd_nx = 2, zhadd = 3, zhadd_nx = 3, zrem = 1, zincr_by = 2 }

local function each(visit)
  local k, a, position = 1, 2, 0
  while ARGV[a] do
    local what = ARGV[a]
    local count, first = COUNT[what], a + 1
    if not count then count, first = tonumber(ARGV[a + 1]), a + 2 end
    local sorted = what:byte() == 122 -- z
    visit(what, first, first + count - 1, KEYS[k], sorted and KEYS[k + 1], position)
    k, a, position = k + (sorted and 2 or 1), first + count, position + 1
  end
end

-- Of integers as text: Lua's numbers are too short for them.
local function at_most(a, b)
  local negative = a:byte() == 45 -- the minus sign
  if negative ~= (b:byte() == 45) then return negative end
  if #a ~= #b then return (#a < #b) ~= negative end
  return a == b or (a < b) ~= negative
end

local function is_integer(text)
  return (text == '0' or text:match('^%-?[1-9]%d*$')) and #text <= 20
    and at_most('-9223372036854775808', text) and at_most(text, '9223372036854775807')
end

-- Whether the user may run a command on a key. One that is denied must not come in the middle. Before Redis 7 this cannot be asked.
local ask = redis.acl_check_cmd
local function allowed(command, key)
  if not ask then return true end
  if command == 'UNLINK' then return ask(command, key) end
  return ask(command, key, '0', '0')
end

local failed, wrong, wrong_at = {}, nil, nil
each(function(what, first, last, key, companion, position)
  local kind = redis.call('TYPE', key).ok
  local seen = kind ~= 'none' and kind ~= 'zset'
  local holds, refused, command = true, nil, what
  if COUNT[what] and (what:sub(1, 3) == 'set' or what:sub(1, 6) == 'delete') then
    if what == 'set_nx' then
      holds = not seen
    elseif what == 'set_xx' or what == 'delete_xx' then
      holds = seen
    elseif what == 'set_eq' then
      holds = kind == 'string' and redis.call('GET', key) == ARGV[last]
    end
    command = what:byte() == 115 and 'SET' or 'UNLINK' -- s
    if kind == 'zset' and (holds or command == 'UNLINK') then refused = 'WRONGTYPE' end
  elseif what == 'incr_by' then
    command = 'INCRBY'
    if kind == 'string' then
      local now = redis.call('GET', key)
      if not is_integer(now) then
        refused = 'WRONGTYPE'
      elseif not (at_most(ARGV[first + 1], now) and at_most(now, ARGV[last])) then
        refused = 'OVERFLOW'
      end
    elseif kind ~= 'none' then
      refused = 'WRONGTYPE'
    end
  else
    local wanted = companion and 'zset' or what:byte() == 104 and 'hash' or 'set' -- h
    if kind ~= 'none' and kind ~= wanted then
      refused = 'WRONGTYPE'
    elseif what == 'hset_nx' then
      command = 'HSET'
      holds = redis.call('HEXISTS', key, ARGV[first]) == 0
    elseif companion then
      command = what == 'zrem' and 'ZREM' or what == 'zincr_by' and 'ZINCRBY' or 'ZADD'
      if not allowed('HDEL', companion) or (what ~= 'zrem' and not allowed('HSET', companion)) then
        refused = 'NOPERM'
      end
      local beside = redis.call('TYPE', companion).ok
      local score = what ~= 'zrem' and redis.call('ZSCORE', key, ARGV[first + 1])
      if beside ~= 'none' and beside ~= 'hash' then
        refused = 'WRONGTYPE'
      elseif what == 'zadd_nx' or what == 'zhadd_nx' then
        holds = not score
      elseif what == 'zincr_by' and ((score == 'inf' and ARGV[first] == '-inf')
          or (score == '-inf' and ARGV[first] == 'inf')) then
        refused = 'OVERFLOW'
      end
    end
  end
  if not refused and not allowed(command, key) then refused = 'NOPERM' end
  if refused then
    if not wrong then wrong, wrong_at = refused, position end
  elseif not holds then
    failed[#failed + 1] = position
  end
end)
if #failed > 0 then return failed end
if wrong then return { wrong, wrong_at } end

-- As in zadd.lua and zincr_by.lua. The score comes first: it may be refused for want of memory.
local function add(score, member, value, key, companion)
  local mark, first = redis.call('HGET', companion, ''), nil
  if not mark then
    if redis.call('EXISTS', key) == 0 or redis.call('EXISTS', companion) == 1 then
      first = 'own'
    elseif value then
      first = ARGV[1]
    end
  end
  redis.call('ZADD', key, score, member)
  if first then redis.call('HSET', companion, '', first) end
  if (mark or first) == 'lost' then value = value or member end
  if value then
    redis.call('HSET', companion, member, value)
  else
    redis.call('HDEL', companion, member)
  end
end

-- As in zrem.lua.
local function remove(member, key, companion)
  redis.call('ZREM', key, member)
  if redis.call('EXISTS', key) == 0 then
    redis.call('HDEL', companion, member, '')
  elseif redis.call('HLEN', companion) ~= 1
      or type(redis.pcall('HSETNX', companion, '', 'own')) ~= 'table' then
    redis.call('HDEL', companion, member)
  end
end

each(function(what, first, last, key, companion)
  if what == 'delete' or what == 'delete_xx' then
    redis.call('UNLINK', key)
  elseif what == 'incr_by' then
    redis.call('INCRBY', key, ARGV[first])
  elseif what == 'hset_nx' then
    redis.call('HSET', key, ARGV[first], ARGV[last])
  elseif what == 'zrem' then
    remove(ARGV[first], key, companion)
  elseif what == 'zincr_by' and redis.call('ZSCORE', key, ARGV[last]) then
    redis.call('ZINCRBY', key, ARGV[first], ARGV[last])
  elseif companion then
    add(ARGV[first], ARGV[first + 1], last == first + 2 and ARGV[last], key, companion)
  elseif COUNT[what] then
    redis.call('SET', key, ARGV[first])
  else
    for i = first, last, 4000 do redis.call(what, key, unpack(ARGV, i, math.min(i + 3999, last))) end
  end
end)
return redis.status_reply('OK')
