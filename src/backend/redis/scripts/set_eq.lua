-- KEYS: the key. ARGV: the new value, the old one. A key of another type is unequal, not an error.
if redis.pcall('GET', KEYS[1]) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
