-- KEYS: the key. ARGV: the value. `SET XX` would replace a sorted set: it counts as absent.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' or kind == 'zset' then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
