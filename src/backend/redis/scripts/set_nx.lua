-- KEYS: the key. ARGV: the value. `SET NX` alone returns nil for a sorted set: that is WRONGTYPE.
if redis.call('SET', KEYS[1], ARGV[1], 'NX') then return 1 end
if redis.call('TYPE', KEYS[1]).ok == 'zset' then
  return redis.error_reply('WRONGTYPE Operation against a key holding the wrong kind of value')
end
return 0
