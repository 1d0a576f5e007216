-- KEYS: the key, its value hash. ARGV: the most entries and the most bytes of values to return, 1
-- for values, 1 for scores, the default mark; then the arguments of ZRANGE.
-- Returns one list, each score after its entry; or 0 if there is more than these limits allow.
local most, bytes, scores = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[4] == '1'
local found = redis.pcall('ZRANGE', KEYS[1], unpack(ARGV, 6))
if found.err or #found == 0 then return found end
local step = ARGV[#ARGV] == 'WITHSCORES' and 2 or 1
if #found > most * step then return 0 end
local members = found
if step == 2 then
  members = {}
  for i = 1, #found, 2 do members[#members + 1] = found[i] end
end
local answer = members
if ARGV[3] == '1' then
  local bare = false
  answer = {}
  for from = 1, #members, 50 do
    local to = math.min(from + 49, #members)
    local values = redis.call('HMGET', KEYS[2], unpack(members, from, to))
    for i = from, to do
      local value = values[i - from + 1]
      if not value then value, bare = members[i], true end
      answer[i], bytes = value, bytes - #value
    end
    if bytes < 0 and to < #members then return 0 end
  end
  if bare then
    local mark = redis.call('HGET', KEYS[2], '') or redis.call('EXISTS', KEYS[2]) == 0 and ARGV[5]
    if mark == 'lost' then return redis.error_reply('KVSLOST value') end
  end
end
if not scores then return answer end
local score = step == 1 and redis.call('ZMSCORE', KEYS[1], unpack(members))
local pairs = {}
for i = 1, #members do
  pairs[2 * i - 1] = answer[i]
  pairs[2 * i] = score and score[i] or found[2 * i]
end
return pairs
