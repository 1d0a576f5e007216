-- KEYS: the key, its companion.
local removed = redis.call('UNLINK', KEYS[1])
redis.call('UNLINK', KEYS[2])
return removed
