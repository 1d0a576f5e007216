-- KEYS: the key, its companion. ARGV: the score, the member, 1 if it must be absent, the mark of a set without a companion; the
-- value, if it has one. The marks are told of in mod.rs.
-- What can be refused (for want of memory, or because the key holds another type) comes first. Permissions are asked for before;
-- Redis 6 cannot be asked.
local key, beside, member, value = KEYS[1], KEYS[2], ARGV[2], ARGV[5]
if ARGV[3] == '1' then
  local score = redis.pcall('ZSCORE', key, member)
  if score then return score.err and score or 0 end
end
local mark = redis.pcall('HGET', beside, '')
if type(mark) == 'table' then return mark end
local ask = redis.acl_check_cmd
if ask and not (ask('ZADD', key, '0', member) and ask('HSET', beside, '', '') and ask('HDEL', beside, '')) then
  return redis.error_reply('NOPERM half of it')
end
local first
if not mark then
  if redis.call('EXISTS', key) == 0 or redis.call('EXISTS', beside) == 1 then
    first = 'own'
  elseif value then
    first = ARGV[4]
  end
end
if mark == 'lost' and not value then value = member end
if first or value then
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'zset' and kind ~= 'none' then return redis.error_reply('WRONGTYPE key') end
  local set = redis.pcall('HSET', beside, first and '' or member, first or value)
  if type(set) == 'table' then return set end
  if first and value then redis.call('HSET', beside, member, value) end
end
local added = redis.pcall('ZADD', key, ARGV[1], member)
if type(added) ~= 'table' then
  if not value then redis.pcall('HDEL', beside, member) end
  return 1
end
if value then redis.pcall('HDEL', beside, member) end
if first then redis.pcall('HDEL', beside, '') end
return added
