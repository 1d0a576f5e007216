-- KEYS: the key, its value hash. ARGV: the score, the member, 1 if it must be absent, the default
-- mark; the value, if it has one. mod.rs documents the marks.
-- The write that may be refused for want of memory comes first. The script asks before it whether
-- the user may run the others. Redis 6 has no such command: there a later refusal is undone.
local key, hash, member, value = KEYS[1], KEYS[2], ARGV[2], ARGV[5]
if ARGV[3] == '1' then
  local score = redis.pcall('ZSCORE', key, member)
  if score then return score.err and score or 0 end
end
local found = redis.pcall('HMGET', hash, '', member)
if found.err then return found end
local mark, old, first, before = found[1], found[2], nil, nil
if not mark then
  if redis.call('EXISTS', key) == 0 or redis.call('EXISTS', hash) == 1 then
    first = 'own'
  elseif value then
    first = ARGV[4]
  end
end
if mark == 'lost' then value = value or member end
local ask = redis.acl_check_cmd
if first or value then
  if ask and not ask('ZADD', key, '0', member) then
    return redis.error_reply('NOPERM ZADD denied')
  end
  local set = redis.pcall('HSET', hash, first and '' or member, first or value)
  if type(set) == 'table' then return set end
  if first and value then redis.call('HSET', hash, member, value) end
end
if old and not value then
  if ask and not ask('HDEL', hash, member) then return redis.error_reply('NOPERM HDEL denied') end
  before = redis.pcall('ZSCORE', key, member)
end
local refused = redis.pcall('ZADD', key, ARGV[1], member)
if old and not value and type(refused) ~= 'table' then
  refused = redis.pcall('HDEL', hash, member)
  if type(refused) == 'table' then
    if before then
      redis.pcall('ZADD', key, before, member)
    else
      redis.pcall('ZREM', key, member)
    end
  end
end
if type(refused) ~= 'table' then return 1 end
if value and old then redis.pcall('HSET', hash, member, old) end
if value and not old then redis.pcall('HDEL', hash, member) end
if first then redis.pcall('HDEL', hash, '') end
return refused
