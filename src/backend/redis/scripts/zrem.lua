-- KEYS: the key, its value hash. ARGV: the member. The value is removed first: Redis 6 has no
-- command that asks for permission. The mark is removed with the last member. A value hash that
-- would lose its last value gets a mark. If that is refused the value stays, and no read finds it.
local key, hash, member = KEYS[1], KEYS[2], ARGV[1]
local before = redis.pcall('ZSCORE', key, member)
if type(before) == 'table' then return before end
local old = redis.pcall('HGET', hash, member)
if type(old) == 'table' then return old end
if old and redis.acl_check_cmd and not redis.acl_check_cmd('ZREM', key, member) then
  return redis.error_reply('NOPERM ZREM denied')
end
local rest = redis.call('ZCARD', key) - (before and 1 or 0)
if old and rest > 0 and redis.call('HLEN', hash) == 1 then
  if type(redis.pcall('HSETNX', hash, '', 'own')) == 'table' then old = false end
end
if old then
  local denied = redis.pcall('HDEL', hash, member)
  if type(denied) == 'table' then return denied end
end
local removed = redis.pcall('ZREM', key, member)
if type(removed) == 'table' then
  if old then redis.pcall('HSET', hash, member, old) end
elseif rest == 0 then
  redis.pcall('HDEL', hash, member, '')
end
return removed
