-- One atomic write: checks all writes, then applies all of them, or none.
-- KEYS: the key of each write; for a sorted set its value hash as well.
-- ARGV: the default mark (see mod.rs); then for each write its name and its arguments. A list
-- starts with its length.
-- Returns OK; or the positions of the conditions that failed; or an error and its position.

-- What each write takes. `args`: the number of arguments; a write without it takes a list.
-- `kind`: the type of the key, as in `op/mod.rs`. A sorted set has two keys.
-- `command`: the command that applies it, and that its user needs. `condition`: what must hold.
local OP = {
  set = { args = 1, kind = 'string', command = 'SET' },
  set_nx = { args = 1, kind = 'string', command = 'SET', condition = 'key is absent' },
  set_xx = { args = 1, kind = 'string', command = 'SET', condition = 'key exists' },
  set_eq = { args = 2, kind = 'string', command = 'SET', condition = 'value is equal' },
  delete = { args = 0, kind = 'any', command = 'UNLINK' },
  delete_xx = { args = 0, kind = 'any', command = 'UNLINK', condition = 'key exists' },
  incr_by = { args = 3, kind = 'string', command = 'INCRBY' },
  sadd = { kind = 'set', command = 'SADD' },
  srem = { kind = 'set', command = 'SREM' },
  hset = { kind = 'hash', command = 'HSET' },
  hset_nx = { args = 2, kind = 'hash', command = 'HSET', condition = 'field is absent' },
  hdel = { kind = 'hash', command = 'HDEL' },
  zadd = { args = 2, kind = 'zset', command = 'ZADD' },
  zadd_nx = { args = 2, kind = 'zset', command = 'ZADD', condition = 'member is absent' },
  zhadd = { args = 3, kind = 'zset', command = 'ZADD' },
  zhadd_nx = { args = 3, kind = 'zset', command = 'ZADD', condition = 'member is absent' },
  zrem = { args = 1, kind = 'zset', command = 'ZREM' },
  zincr_by = { args = 2, kind = 'zset', command = 'ZINCRBY' },
}

-- Calls `visit` for each write. Returns an error if a name is unknown; the rest cannot be parsed.
local function each(visit)
  local k, a, position = 1, 2, 0
  while ARGV[a] do
    local op, first = OP[ARGV[a]], a + 1
    if not op then return redis.error_reply('ERR unknown write ' .. ARGV[a]) end
    local count = op.args
    if not count then count, first = tonumber(ARGV[a + 1]), a + 2 end
    local sorted = op.kind == 'zset'
    visit(op, first, first + count - 1, KEYS[k], sorted and KEYS[k + 1], position)
    k, a, position = k + (sorted and 2 or 1), first + count, position + 1
  end
end

-- Compares integers as text: a Lua number has only 53 bits.
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

-- Whether the user may run a command on a key. Asked before the first write, as a denial must not
-- come halfway. Before Redis 7 a script cannot ask.
local ask = redis.acl_check_cmd
local function allowed(command, key)
  if not ask then return true end
  if command == 'UNLINK' then return ask(command, key) end
  return ask(command, key, '0', '0')
end

-- The checks return why the write is refused, or nil; and false if its condition does not hold.
-- `kind` is what TYPE says of the key.

-- SET and UNLINK take any type except a sorted set.
local function check_key(op, last, key, kind)
  local seen, holds = kind ~= 'none' and kind ~= 'zset', true
  if op.condition == 'key is absent' then
    holds = not seen
  elseif op.condition == 'key exists' then
    holds = seen
  elseif op.condition == 'value is equal' then
    holds = kind == 'string' and redis.call('GET', key) == ARGV[last]
  end
  if kind == 'zset' and (holds or op.command == 'UNLINK') then return 'WRONGTYPE', holds end
  return nil, holds
end

-- The counter must be in the range in which the sum fits.
local function check_counter(first, key, kind)
  if kind == 'none' then return nil end
  if kind ~= 'string' then return 'WRONGTYPE' end
  local now = redis.call('GET', key)
  if not is_integer(now) then return 'WRONGTYPE' end
  local fits = at_most(ARGV[first + 1], now) and at_most(now, ARGV[first + 2])
  return not fits and 'OVERFLOW' or nil
end

local function check_sorted(op, first, key, value_hash)
  local refused
  local adds = op.command ~= 'ZREM'
  if not allowed('HDEL', value_hash) or (adds and not allowed('HSET', value_hash)) then
    refused = 'NOPERM'
  end
  local kind = redis.call('TYPE', value_hash).ok
  local score = adds and redis.call('ZSCORE', key, ARGV[first + 1])
  if kind ~= 'none' and kind ~= 'hash' then return 'WRONGTYPE' end
  if op.condition == 'member is absent' then return refused, not score end
  if op.command == 'ZINCRBY' and ((score == 'inf' and ARGV[first] == '-inf')
      or (score == '-inf' and ARGV[first] == 'inf')) then
    return 'OVERFLOW'
  end
  return refused
end

local function check(op, first, last, key, value_hash)
  local kind = redis.call('TYPE', key).ok
  if op.command == 'SET' or op.command == 'UNLINK' then return check_key(op, last, key, kind) end
  if op.command == 'INCRBY' then return check_counter(first, key, kind) end
  if kind ~= 'none' and kind ~= op.kind then return 'WRONGTYPE' end
  if op.kind == 'zset' then return check_sorted(op, first, key, value_hash) end
  if op.condition == 'field is absent' then
    return nil, redis.call('HEXISTS', key, ARGV[first]) == 0
  end
  return nil
end

local failed, wrong, wrong_at = {}, nil, nil
local unknown = each(function(op, first, last, key, value_hash, position)
  local refused, holds = check(op, first, last, key, value_hash)
  if not refused and not allowed(op.command, key) then refused = 'NOPERM' end
  if refused then
    if not wrong then wrong, wrong_at = refused, position end
  elseif holds == false then
    failed[#failed + 1] = position
  end
end)
if unknown then return unknown end
if #failed > 0 then return failed end
if wrong then return { wrong, wrong_at } end

-- As in zadd.lua and zincr_by.lua. The score comes first: it may be refused for want of memory.
local function add(score, member, value, key, value_hash)
  local mark, first = redis.call('HGET', value_hash, ''), nil
  if not mark then
    if redis.call('EXISTS', key) == 0 or redis.call('EXISTS', value_hash) == 1 then
      first = 'own'
    elseif value then
      first = ARGV[1]
    end
  end
  redis.call('ZADD', key, score, member)
  if first then redis.call('HSET', value_hash, '', first) end
  if (mark or first) == 'lost' then value = value or member end
  if value then
    redis.call('HSET', value_hash, member, value)
  else
    redis.call('HDEL', value_hash, member)
  end
end

-- As in zrem.lua.
local function remove(member, key, value_hash)
  redis.call('ZREM', key, member)
  if redis.call('EXISTS', key) == 0 then
    redis.call('HDEL', value_hash, member, '')
  elseif redis.call('HLEN', value_hash) ~= 1
      or type(redis.pcall('HSETNX', value_hash, '', 'own')) ~= 'table' then
    redis.call('HDEL', value_hash, member)
  end
end

each(function(op, first, last, key, value_hash)
  if op.command == 'UNLINK' then
    redis.call('UNLINK', key)
  elseif op.command == 'SET' or op.command == 'INCRBY' then
    redis.call(op.command, key, ARGV[first])
  elseif op.command == 'ZREM' then
    remove(ARGV[first], key, value_hash)
  elseif op.command == 'ZINCRBY' and redis.call('ZSCORE', key, ARGV[last]) then
    redis.call('ZINCRBY', key, ARGV[first], ARGV[last])
  elseif op.kind == 'zset' then
    add(ARGV[first], ARGV[first + 1], last == first + 2 and ARGV[last], key, value_hash)
  else
    -- A list. `unpack` takes 8,000 entries at most; 4,000 is even, for fields and their values.
    for i = first, last, 4000 do
      redis.call(op.command, key, unpack(ARGV, i, math.min(i + 3999, last)))
    end
  end
end)
return redis.status_reply('OK')
