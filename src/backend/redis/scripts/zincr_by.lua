-- KEYS: the key, its companion. ARGV: what is added, the member. One that is new has no value from before: that the user may not
-- remove one is asked before; Redis 6 cannot be asked.
local before = redis.pcall('ZSCORE', KEYS[1], ARGV[2])
local ask = redis.acl_check_cmd
if not before and ask and not ask('HDEL', KEYS[2], ARGV[2]) then return redis.error_reply('NOPERM HDEL') end
local after = redis.pcall('ZINCRBY', KEYS[1], ARGV[1], ARGV[2])
if not before and type(after) ~= 'table' then redis.pcall('HDEL', KEYS[2], ARGV[2]) end
return after
