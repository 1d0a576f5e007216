-- KEYS: the key. ARGV: the new value, the old one. Another type raises no error: it is not equal.
if redis.pcall('GET', KEYS[1]) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
