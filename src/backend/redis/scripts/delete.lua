-- KEYS: the key, its value hash. One UNLINK of both: a user may be allowed only one of them.
local there = redis.call('EXISTS', KEYS[1])
redis.call('UNLINK', KEYS[1], KEYS[2])
return there
