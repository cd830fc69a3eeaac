"""The scripts of the effects. Each runs alone in Redis: what it looks at stands still until it has taken."""

from __future__ import annotations

# KEYS: epoch, rebuilt, lot mark, the counters, then for each item its mark, its consents and its code.
# ARGV: epoch, life, place of the lot on its topic, its end (unix ms), now, how many items;
# how many counters, the end of each; how many rows of counters, of each how many and pairs of counter and limit;
# for each item: digest, end, name of its row; with a "+" before it there follow: its attempt if that is only made sure
# of (else 0), how many things it uses up, how many of them are consents (the last is a code else), whose, their end.
# Answers: 'epoch' | 'replayed' | for each item 1 when it is taken now, {attempt, when} when it was before, else
# 0: another request holds the mark; -1: has used the code; -2: has used the consent; -3: the quota is used up.
# An item looks at everything before it takes anything; counters are read once and written once, at the end.
TAKE = """
local whole = redis.call('MGET', KEYS[1], KEYS[2])
if whole[1] ~= ARGV[1] or whole[2] ~= ARGV[2] then return 'epoch' end
local place = redis.call('SET', KEYS[3], ARGV[3], 'NX', 'GET', 'PXAT', ARGV[4])
if place and place ~= ARGV[3] then return 'replayed' end
local now, at, k = ARGV[5], 7, 3
local spent, ends, rows, counted, out = {}, {}, {}, {}, {}
for c = 1, tonumber(ARGV[7]) do
  at, k = at + 1, k + 1
  spent[c], ends[c] = tonumber(redis.call('GET', KEYS[k]) or '0'), ARGV[at]
end
at = at + 1
for r = 1, tonumber(ARGV[at]) do
  local row, size = {}, tonumber(ARGV[at + 1])
  for j = 1, size do row[j] = {tonumber(ARGV[at + 2 * j]), tonumber(ARGV[at + 2 * j + 1])} end
  rows[tostring(r)], rows['+' .. r] = row, row
  at = at + 1 + 2 * size
end
local head = '1:' .. now .. ':'
for i = 1, tonumber(ARGV[6]) do
  k = k + 1
  local key, digest, lasts, name = KEYS[k], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local row, fresh = rows[name], head .. digest
  local attempt, used, consents, user, used_ends = 0, 0, 0, nil, nil
  at = at + 3
  if string.byte(name) == 43 then
    attempt, used, consents = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    user, used_ends = ARGV[at + 4], ARGV[at + 5]
    at = at + 5
    if attempt > 1 then fresh = attempt .. ':' .. now .. ':' .. digest end
  end
  local full, held, told = false, nil, nil
  for j = 1, #row do
    if spent[row[j][1]] >= row[j][2] then full = true end
  end
  if full or used > 0 then
    held = redis.call('GET', key)
  else
    held = redis.call('SET', key, fresh, 'NX', 'GET', 'PXAT', lasts)
  end
  local before, when, whose
  if held then
    before, when, whose = string.match(held, '^(%d+):(%d+):(.*)$')
    if whose ~= digest then told = 0 end
  end
  for j = 1, told and 0 or used do
    local by = redis.call('GET', KEYS[k + j])
    if by and by ~= user then
      told = j <= consents and -2 or -1
      break
    end
  end
  if full and not held then told = told or -3 end
  if not told then
    for j = 1, used do redis.call('SET', KEYS[k + j], user, 'NX', 'PXAT', used_ends) end
    if held then
      before = tonumber(before)
      if attempt == 0 then attempt = before + 1 end
      if attempt > before then redis.call('SET', key, attempt .. ':' .. when .. ':' .. digest, 'PXAT', lasts) end
      told = {math.max(attempt, before), tonumber(when)}
    else
      if used > 0 then redis.call('SET', key, fresh, 'PXAT', lasts) end
      for j = 1, #row do
        local c = row[j][1]
        spent[c], counted[c] = spent[c] + 1, true
      end
      told = attempt > 1 and {attempt, tonumber(now)} or 1
    end
  end
  out[i], k = told, k + used
end
for c in pairs(counted) do redis.call('SET', KEYS[3 + c], spent[c], 'PXAT', ends[c]) end
return out
"""

# KEYS: in pairs a request's mark and what it used up. ARGV: whose each pair is.
# A request that was delivered again may have been answered by the other delivery, for what this one would give back.
GIVE_BACK = """
for i, user in ipairs(ARGV) do
  local mark = redis.call('GET', KEYS[2 * i - 1]) or ''
  if string.sub(mark, 1, 2) == '1:' and redis.call('GET', KEYS[2 * i]) == user then redis.call('DEL', KEYS[2 * i]) end
end
"""

# KEYS: epoch, rebuilt, keys. ARGV: epoch, life, then for each key its rule, value and end (unix ms).
# A key that stands there already came from another rebuilder, or from before Redis was rolled back.
RESTORE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'epoch' end
if redis.call('GET', KEYS[2]) == ARGV[2] then return 0 end
for i = 3, #KEYS do
  local rule, value, ends = ARGV[3 * i - 6], ARGV[3 * i - 5], ARGV[3 * i - 4]
  local held = rule ~= 'used' and redis.call('GET', KEYS[i])
  if rule == 'used' then
    redis.call('SET', KEYS[i], value, 'NX', 'PXAT', ends)
  elseif not held or tonumber(string.match(held, '^%d+')) < tonumber(string.match(value, '^%d+')) then
    redis.call('SET', KEYS[i], value, 'PXAT', ends)
  end
end
return 0
"""

# KEYS: epoch, rebuilt. ARGV: epoch, life.
BEGIN = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1
"""
