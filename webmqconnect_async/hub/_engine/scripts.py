"""The keys in Redis, and the two Lua scripts that write to the stream. Redis runs each of them atomically."""

from __future__ import annotations

from typing import NamedTuple


class Keys(NamedTuple):
    """The names of the keys that the hubs of one application share."""

    stream: str
    history: str
    """Has the ID of the history. A new history begins when the stream is created, or events are lost."""
    server: str
    """Has the run of the server in which a hub last confirmed that the history is complete."""
    idempotency: str  # the prefix of the keys for idempotency keys
    nothing: str  # a key that never exists, to check permissions with


def keys_of(prefix: str) -> Keys:
    return Keys(*[f"{prefix}:{name}" for name in ("events", "history", "server", "key:", "nothing")])


BEGIN = """\
local current = redis.call('GET', KEYS[2]) or ''
if current ~= ARGV[1] then
  return current
end
local milliseconds = tonumber(ARGV[3])
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if last then
  milliseconds = math.max(milliseconds, tonumber(string.match(last[1], '^%d+')) + 1)
end
redis.call('DEL', KEYS[1])
redis.call('XADD', KEYS[1], string.format('%.0f-0', milliseconds), 'o', ARGV[4], 'h', ARGV[2])
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], ARGV[5])
return ARGV[2]
"""
"""Begin a history with an empty stream, unless another hub has already done so.

Keys: the stream, the ID of the history, the run of the server. Arguments: the expected ID, or an empty string; the new
ID; the time in milliseconds; a token; the run. Returns the current ID.
"""

ADD = """\
local time = redis.call('TIME')
if time[1] * 1000 + time[2] / 1000 > tonumber(ARGV[4]) then
  return 'late'
end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not last or redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return false
end
local before = last[1] .. ' ' .. last[2][2]
local milliseconds, counter = string.match(last[1], '^(%d+)-(%d+)$')
milliseconds, counter = tonumber(milliseconds), tonumber(counter)
local now, i, results = tonumber(ARGV[2]), 5, {before}
while ARGV[i] do
  local key, content, fields = ARGV[i], ARGV[i + 1], i + 3
  local size = tonumber(ARGV[i + 2])
  local known = key ~= '' and redis.call('GET', KEYS[3] .. key)
  if known then
    local id = string.match(known, '%S+$')
    results[#results + 1] = known == content .. ' ' .. id and '=' .. id or '!'
  else
    if now > milliseconds then
      milliseconds, counter = now, 0
    elseif counter < 2047 then
      counter = counter + 1
    else
      milliseconds, counter = milliseconds + 1, 0
    end
    local id, token = string.format('%.0f-%d', milliseconds, counter), ARGV[fields]
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], id, 'o', token, 'p', before,
      unpack(ARGV, fields + 1, fields + size - 1))
    if key ~= '' then
      redis.call('SET', KEYS[3] .. key, content .. ' ' .. id, 'PX', 300000)
    end
    before = id .. ' ' .. token
    results[#results + 1] = id
  end
  i = fields + size
end
return results
"""
"""Add events to the stream, except those whose idempotency key is known.

Keys: the stream, where the ID of the history is, and how the names of idempotency keys begin. Arguments: the ID of the
history, the time in milliseconds, how many entries to keep, and the server's time in milliseconds after which the hub
no longer waits; then for each event its idempotency key, or nothing, the digest of its content, the number of what
follows, its token, and its fields.

Returns what the field `p` of the first event is; then for each event its ID, `=` and the first ID if it is repeated, or
`!` if its key was used for another event. Adds nothing, and returns nothing, if the history is another one, and `late`
if the hub no longer waits: an event that is added much later would follow newer ones.
"""
