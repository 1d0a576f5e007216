-- KEYS: the key, its value hash. ARGV: the field, the default mark.
local score = redis.pcall('ZSCORE', KEYS[1], ARGV[1])
if not score or type(score) == 'table' then return score end
local found = redis.call('HMGET', KEYS[2], ARGV[1], '')
if found[1] then return found[1] end
local mark = found[2] or redis.call('EXISTS', KEYS[2]) == 0 and ARGV[2]
if mark == 'lost' then return redis.error_reply('KVSLOST value') end
return ARGV[1]
