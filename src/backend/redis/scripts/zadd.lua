-- KEYS: the key, its companion. ARGV: the score, the member, 1 if it must be absent; the value, if it has one.
-- What can be refused (for want of memory, or because the key holds another type) comes first. That the user may not do the
-- other half is asked before; Redis 6 cannot be asked.
if ARGV[3] == '1' then
  local score = redis.pcall('ZSCORE', KEYS[1], ARGV[2])
  if score then return score.err and score or 0 end
end
local ask = redis.acl_check_cmd
if ARGV[4] then
  if ask and not ask('ZADD', KEYS[1], ARGV[1], ARGV[2]) then return redis.error_reply('NOPERM ZADD') end
  local set = redis.pcall('HSET', KEYS[2], ARGV[2], ARGV[4])
  if type(set) == 'table' then return set end
elseif ask and not ask('HDEL', KEYS[2], ARGV[2]) then
  return redis.error_reply('NOPERM HDEL')
end
local added = redis.pcall('ZADD', KEYS[1], ARGV[1], ARGV[2])
local refused = type(added) == 'table'
if refused == (ARGV[4] ~= nil) then redis.pcall('HDEL', KEYS[2], ARGV[2]) end
return refused and added or 1
