-- KEYS: the key, its companion. ARGV: what is added, the member. One that is there keeps its value; one that is new has none from
-- before, as in zadd.lua.
local key, beside, member = KEYS[1], KEYS[2], ARGV[2]
local before = redis.pcall('ZSCORE', key, member)
if before then return redis.pcall('ZINCRBY', key, ARGV[1], member) end
local mark = redis.pcall('HGET', beside, '')
if type(mark) == 'table' then return mark end
local ask = redis.acl_check_cmd
if ask and not (ask('ZINCRBY', key, '0', member) and ask('HSET', beside, '', '') and ask('HDEL', beside, '')) then
  return redis.error_reply('NOPERM half of it')
end
local first = not mark and (redis.call('EXISTS', key) == 0 or redis.call('EXISTS', beside) == 1)
if first or mark == 'lost' then
  local set = redis.pcall('HSET', beside, first and '' or member, first and 'own' or member)
  if type(set) == 'table' then return set end
end
local after = redis.pcall('ZINCRBY', key, ARGV[1], member)
if type(after) == 'table' then
  if first then redis.pcall('HDEL', beside, '') end
elseif mark ~= 'lost' then
  redis.pcall('HDEL', beside, member)
end
return after
