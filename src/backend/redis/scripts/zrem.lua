-- KEYS: the key, its companion. ARGV: the member.
local removed = redis.pcall('ZREM', KEYS[1], ARGV[1])
if type(removed) ~= 'table' then redis.pcall('HDEL', KEYS[2], ARGV[1]) end
return removed
