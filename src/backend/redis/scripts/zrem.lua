-- KEYS: the key, its companion. ARGV: the member. The value goes first, as that may be denied: Redis 6 cannot be asked before.
-- The mark goes with the last member. A companion that would lose its last value gets one; where that is refused it keeps the
-- value, which nobody sees.
local key, beside, member = KEYS[1], KEYS[2], ARGV[1]
local before = redis.pcall('ZSCORE', key, member)
if type(before) == 'table' then return before end
if not before then return 0 end
local old = redis.pcall('HGET', beside, member)
if type(old) == 'table' then return old end
local ask = redis.acl_check_cmd
if ask and not (ask('HDEL', beside, member) and ask('ZREM', key, member)) then
  return redis.error_reply('NOPERM half of it')
end
if old and redis.call('HLEN', beside) == 1 and redis.call('ZCARD', key) > 1 then
  if type(redis.pcall('HSETNX', beside, '', 'own')) == 'table' then old = false end
end
if old then
  local denied = redis.pcall('HDEL', beside, member)
  if type(denied) == 'table' then return denied end
end
local removed = redis.pcall('ZREM', key, member)
if type(removed) == 'table' then
  if old then redis.pcall('HSET', beside, member, old) end
elseif redis.call('EXISTS', key) == 0 then
  redis.pcall('HDEL', beside, member, '')
end
return removed
