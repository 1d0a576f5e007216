-- KEYS: the key, its companion. ARGV: members. Their scores and their values as they are at one moment.
return { redis.call('ZMSCORE', KEYS[1], unpack(ARGV)), redis.call('HMGET', KEYS[2], unpack(ARGV)) }
