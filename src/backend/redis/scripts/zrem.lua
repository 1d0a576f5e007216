-- KEYS: the key, its companion. ARGV: the member. That the user may not remove the value is asked before; Redis 6 cannot be asked.
-- The mark goes with the last member. A companion that would lose its last value gets one; where that is denied it keeps the value,
-- which nobody sees.
local key, beside, member = KEYS[1], KEYS[2], ARGV[1]
local ask = redis.acl_check_cmd
if ask and not ask('HDEL', beside, member) then return redis.error_reply('NOPERM half of it') end
local removed = redis.pcall('ZREM', key, member)
if type(removed) == 'table' then return removed end
if redis.call('EXISTS', key) == 0 then
  redis.pcall('HDEL', beside, member, '')
elseif redis.pcall('HLEN', beside) ~= 1 or type(redis.pcall('HSETNX', beside, '', 'own')) ~= 'table' then
  redis.pcall('HDEL', beside, member)
end
return removed
