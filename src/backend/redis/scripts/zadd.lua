-- KEYS: the key, its companion. ARGV: the score, the member, 1 if it must be absent, the mark of a set without a companion; the
-- value, if it has one. mod.rs has what marks are.
-- What can be refused (for want of memory, or because a key holds another type) comes first. Permissions are asked for before;
-- Redis 6 cannot be asked, and what it denies in the middle is undone.
local key, beside, member, value = KEYS[1], KEYS[2], ARGV[2], ARGV[5]
local before = redis.pcall('ZSCORE', key, member)
if type(before) == 'table' then return before end
if before and ARGV[3] == '1' then return 0 end
local found = redis.pcall('HMGET', beside, '', member)
if found.err then return found end
local ask = redis.acl_check_cmd
if ask and not (ask('ZADD', key, '0', member) and ask('HSET', beside, '', '') and ask('HDEL', beside, '')) then
  return redis.error_reply('NOPERM half of it')
end
local mark, old, first = found[1], found[2], nil
if not mark then
  if redis.call('EXISTS', key) == 0 or redis.call('EXISTS', beside) == 1 then
    first = 'own'
  elseif value then
    first = ARGV[4]
  end
end
if mark == 'lost' then value = value or member end
if first or value then
  local set = redis.pcall('HSET', beside, first and '' or member, first or value)
  if type(set) == 'table' then return set end
  if first and value then redis.call('HSET', beside, member, value) end
end
local refused = redis.pcall('ZADD', key, ARGV[1], member)
if type(refused) ~= 'table' and old and not value then
  refused = redis.pcall('HDEL', beside, member)
  if type(refused) == 'table' then
    if before then redis.pcall('ZADD', key, before, member) else redis.pcall('ZREM', key, member) end
  end
end
if type(refused) ~= 'table' then return 1 end
if value and old then redis.pcall('HSET', beside, member, old) end
if value and not old then redis.pcall('HDEL', beside, member) end
if first then redis.pcall('HDEL', beside, '') end
return refused
