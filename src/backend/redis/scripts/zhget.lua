-- KEYS: the key, its companion. ARGV: the field. A member without a value is its own.
local score = redis.pcall('ZSCORE', KEYS[1], ARGV[1])
if not score or type(score) == 'table' then return score end
return redis.call('HGET', KEYS[2], ARGV[1]) or ARGV[1]
