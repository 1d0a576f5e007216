-- One atomic write: checks all writes, then applies all of them, or none.
-- KEYS: the key of each write; for a sorted set its value hash as well.
-- ARGV: the default mark (see mod.rs); then for each write its name and its arguments. A list
-- starts with its length.
-- Returns OK; or the positions of the conditions that failed; or an error and its position.

-- What a write takes: the number of its arguments (nil: it takes a list), the type of its key as in
-- `op/mod.rs` (a sorted set has two keys), the command that applies it and that its user needs, and
-- its condition. A table of tables would be built anew at each call.
local function describe(name)
  if name == 'set' then return 1, 'string', 'SET' end
  if name == 'set_nx' then return 1, 'string', 'SET', 'key is absent' end
  if name == 'set_xx' then return 1, 'string', 'SET', 'key exists' end
  if name == 'set_eq' then return 2, 'string', 'SET', 'value is equal' end
  if name == 'delete' then return 0, 'any', 'UNLINK' end
  if name == 'delete_xx' then return 0, 'any', 'UNLINK', 'key exists' end
  if name == 'incr_by' then return 3, 'string', 'INCRBY' end
  if name == 'sadd' then return nil, 'set', 'SADD' end
  if name == 'srem' then return nil, 'set', 'SREM' end
  if name == 'hset' then return nil, 'hash', 'HSET' end
  if name == 'hset_nx' then return 2, 'hash', 'HSET', 'field is absent' end
  if name == 'hdel' then return nil, 'hash', 'HDEL' end
  if name == 'zadd' then return 2, 'zset', 'ZADD' end
  if name == 'zadd_nx' then return 2, 'zset', 'ZADD', 'member is absent' end
  if name == 'zhadd' then return 3, 'zset', 'ZADD' end
  if name == 'zhadd_nx' then return 3, 'zset', 'ZADD', 'member is absent' end
  if name == 'zrem' then return 1, 'zset', 'ZREM' end
  if name == 'zincr_by' then return 2, 'zset', 'ZINCRBY' end
end

-- Calls `visit` for each write. Returns an error if a name is unknown; the rest cannot be parsed.
local function each(visit)
  local k, a, position = 1, 2, 0
  while ARGV[a] do
    local first = a + 1
    local count, kind, command, condition = describe(ARGV[a])
    if not kind then return redis.error_reply('ERR unknown write ' .. ARGV[a]) end
    if not count then count, first = tonumber(ARGV[a + 1]), a + 2 end
    local value_hash = kind == 'zset' and KEYS[k + 1]
    visit(command, first, first + count - 1, KEYS[k], value_hash, position, kind, condition)
    k, a, position = k + (value_hash and 2 or 1), first + count, position + 1
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
-- `found` is the type of the key now.

-- SET and UNLINK take any type except a sorted set.
local function check_key(command, condition, last, key, found)
  local seen, holds = found ~= 'none' and found ~= 'zset', true
  if condition == 'key is absent' then
    holds = not seen
  elseif condition == 'key exists' then
    holds = seen
  elseif condition == 'value is equal' then
    holds = found == 'string' and redis.call('GET', key) == ARGV[last]
  end
  if found == 'zset' and (holds or command == 'UNLINK') then return 'WRONGTYPE', holds end
  return nil, holds
end

-- The counter must be in the range in which the sum fits.
local function check_counter(first, key, found)
  if found == 'none' then return nil end
  if found ~= 'string' then return 'WRONGTYPE' end
  local now = redis.call('GET', key)
  if not is_integer(now) then return 'WRONGTYPE' end
  local fits = at_most(ARGV[first + 1], now) and at_most(now, ARGV[first + 2])
  return not fits and 'OVERFLOW' or nil
end

local function check_sorted(command, condition, first, key, value_hash)
  local refused
  local adds = command ~= 'ZREM'
  if not allowed('HDEL', value_hash) or (adds and not allowed('HSET', value_hash)) then
    refused = 'NOPERM'
  end
  local beside = redis.call('TYPE', value_hash).ok
  local score = adds and redis.call('ZSCORE', key, ARGV[first + 1])
  if beside ~= 'none' and beside ~= 'hash' then return 'WRONGTYPE' end
  if condition == 'member is absent' then return refused, not score end
  if command == 'ZINCRBY' and ((score == 'inf' and ARGV[first] == '-inf')
      or (score == '-inf' and ARGV[first] == 'inf')) then
    return 'OVERFLOW'
  end
  return refused
end

local function check(command, condition, kind, first, last, key, value_hash)
  local found = redis.call('TYPE', key).ok
  if command == 'SET' or command == 'UNLINK' then
    return check_key(command, condition, last, key, found)
  end
  if command == 'INCRBY' then return check_counter(first, key, found) end
  if found ~= 'none' and found ~= kind then return 'WRONGTYPE' end
  if kind == 'zset' then return check_sorted(command, condition, first, key, value_hash) end
  if condition == 'field is absent' then
    return nil, redis.call('HEXISTS', key, ARGV[first]) == 0
  end
  return nil
end

local failed, wrong, wrong_at = {}, nil, nil
local unknown = each(function(command, first, last, key, value_hash, position, kind, condition)
  local refused, holds = check(command, condition, kind, first, last, key, value_hash)
  if not refused and not allowed(command, key) then refused = 'NOPERM' end
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

each(function(command, first, last, key, value_hash)
  if command == 'UNLINK' then
    redis.call('UNLINK', key)
  elseif command == 'SET' or command == 'INCRBY' then
    redis.call(command, key, ARGV[first])
  elseif command == 'ZREM' then
    remove(ARGV[first], key, value_hash)
  elseif command == 'ZINCRBY' and redis.call('ZSCORE', key, ARGV[last]) then
    redis.call('ZINCRBY', key, ARGV[first], ARGV[last])
  elseif value_hash then
    add(ARGV[first], ARGV[first + 1], last == first + 2 and ARGV[last], key, value_hash)
  else
    -- A list. `unpack` takes 8,000 entries at most; 4,000 is even, for fields and their values.
    for i = first, last, 4000 do
      redis.call(command, key, unpack(ARGV, i, math.min(i + 3999, last)))
    end
  end
end)
return redis.status_reply('OK')
