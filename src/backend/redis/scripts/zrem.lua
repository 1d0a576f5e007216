-- KEYS: the key, its companion. ARGV: the member. The value is removed first: Redis 6 cannot be
-- asked whether that is denied. The mark is removed with the last member. A companion that would
-- lose its last value gets a mark; where that is refused the value stays, and no read finds it.
local key, beside, member = KEYS[1], KEYS[2], ARGV[1]
local before = redis.pcall('ZSCORE', key, member)
if type(before) == 'table' then return before end
local old = redis.pcall('HGET', beside, member)
if type(old) == 'table' then return old end
if old and redis.acl_check_cmd and not redis.acl_check_cmd('ZREM', key, member) then
  return redis.error_reply('NOPERM ZREM denied')
end
local rest = redis.call('ZCARD', key) - (before and 1 or 0)
if old and rest > 0 and redis.call('HLEN', beside) == 1 then
  if type(redis.pcall('HSETNX', beside, '', 'own')) == 'table' then old = false end
end
if old then
  local denied = redis.pcall('HDEL', beside, member)
  if type(denied) == 'table' then return denied end
end
local removed = redis.pcall('ZREM', key, member)
if type(removed) == 'table' then
  if old then redis.pcall('HSET', beside, member, old) end
elseif rest == 0 then
  redis.pcall('HDEL', beside, member, '')
end
return removed
