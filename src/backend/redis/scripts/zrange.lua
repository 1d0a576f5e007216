-- KEYS: the key, its companion. ARGV: how many may be answered here, 1 for values, 1 for scores; then what ZRANGE
-- takes. Answers one list, scores behind what they belong to; or 0 if there is more than may be answered here.
local most, values, scores = tonumber(ARGV[1]), ARGV[2] == '1', ARGV[3] == '1'
local found = redis.pcall('ZRANGE', KEYS[1], unpack(ARGV, 4))
if found.err or #found == 0 then return found end
local step = ARGV[#ARGV] == 'WITHSCORES' and 2 or 1
if #found > most * step then return 0 end
local members = found
if step == 2 then
  members = {}
  for i = 1, #found, 2 do members[#members + 1] = found[i] end
end
local answer = members
if values then
  answer = redis.call('HMGET', KEYS[2], unpack(members))
  for i = 1, #members do answer[i] = answer[i] or members[i] end
end
if not scores then return answer end
local score = step == 1 and redis.call('ZMSCORE', KEYS[1], unpack(members))
local pairs = {}
for i = 1, #members do
  pairs[2 * i - 1] = answer[i]
  pairs[2 * i] = score and score[i] or found[2 * i]
end
return pairs
