-- KEYS: the key, its companion. Both at once, as a user may be allowed the one alone.
local there = redis.call('EXISTS', KEYS[1])
redis.call('UNLINK', KEYS[1], KEYS[2])
return there
