-- KEYS: the key, its companion. ARGV: what is added, the member. One that is new has no value from before.
local before = redis.pcall('ZSCORE', KEYS[1], ARGV[2])
local after = redis.pcall('ZINCRBY', KEYS[1], ARGV[1], ARGV[2])
if not before and type(after) ~= 'table' then redis.pcall('HDEL', KEYS[2], ARGV[2]) end
return after
