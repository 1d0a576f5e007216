-- KEYS: the key, its value hash. ARGV: the increment, the member. An existing member keeps its
-- value; a new one is its own value. The rest is as in zadd.lua.
local key, hash, member = KEYS[1], KEYS[2], ARGV[2]
if redis.pcall('ZSCORE', key, member) then
  return redis.pcall('ZINCRBY', key, ARGV[1], member)
end
local found = redis.pcall('HMGET', hash, '', member)
if found.err then return found end
local mark, old, ask = found[1], found[2], redis.acl_check_cmd
local first = not mark and (redis.call('EXISTS', key) == 0 or redis.call('EXISTS', hash) == 1)
if ask and old and mark ~= 'lost' and not ask('HDEL', hash, member) then
  return redis.error_reply('NOPERM HDEL denied')
end
if first or mark == 'lost' then
  if ask and not ask('ZINCRBY', key, '0', member) then
    return redis.error_reply('NOPERM ZINCRBY denied')
  end
  local set = redis.pcall('HSET', hash, first and '' or member, first and 'own' or member)
  if type(set) == 'table' then return set end
end
local after = redis.pcall('ZINCRBY', key, ARGV[1], member)
local refused = after
if type(after) ~= 'table' and old and mark ~= 'lost' then
  refused = redis.pcall('HDEL', hash, member)
  if type(refused) == 'table' then redis.pcall('ZREM', key, member) end
end
if type(refused) ~= 'table' then return after end
if mark == 'lost' and old then redis.pcall('HSET', hash, member, old) end
if mark == 'lost' and not old then redis.pcall('HDEL', hash, member) end
if first then redis.pcall('HDEL', hash, '') end
return refused
