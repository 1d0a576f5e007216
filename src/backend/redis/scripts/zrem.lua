-- KEYS: the key, its companion. ARGV: the member. That the user may not remove the value is asked before; Redis 6 cannot be asked.
local ask = redis.acl_check_cmd
if ask and not ask('HDEL', KEYS[2], ARGV[1]) then return redis.error_reply('NOPERM HDEL') end
local removed = redis.pcall('ZREM', KEYS[1], ARGV[1])
if type(removed) ~= 'table' then redis.pcall('HDEL', KEYS[2], ARGV[1]) end
return removed
