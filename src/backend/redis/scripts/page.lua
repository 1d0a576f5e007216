-- KEYS: the key, its value hash. ARGV: the most bytes of values to return, 1 for values, the
-- default mark; then members. Returns the scores of all members, and the values of the first of
-- them, of one moment. A nil value means that the member is its own value.
local most, count = tonumber(ARGV[1]), #ARGV - 3
local scores = redis.call('ZMSCORE', KEYS[1], unpack(ARGV, 4))
local values, bytes, bare = {}, 0, false
if ARGV[2] ~= '1' then return { scores, values } end
for from = 1, count, 50 do
  local to = math.min(from + 49, count)
  local found = redis.call('HMGET', KEYS[2], unpack(ARGV, from + 3, to + 3))
  for i = from, to do
    local value = found[i - from + 1]
    values[i] = value
    if value then
      bytes = bytes + #value
    elseif scores[i] then
      bare = true
    end
  end
  if bytes > most then break end
end
if bare then
  local mark = redis.call('HGET', KEYS[2], '') or redis.call('EXISTS', KEYS[2]) == 0 and ARGV[3]
  if mark == 'lost' then return redis.error_reply('KVSLOST value') end
end
return { scores, values }
