"""Step 10: a Lua script for Redis. It runs a script atomically: no other command comes in between."""

PUBLISH = """
-- KEYS: stream of messages, hash of ids by dedup key, list of dedup keys, the oldest first.
-- ARGV: channel, sender, text, dedup key or empty, HISTORY_SIZE, DEDUP_WINDOW.
local messages, ids, order = unpack(KEYS)
local channel, sender, text, dedup_key, history_size, dedup_window = unpack(ARGV)
local known = redis.call('HGET', ids, dedup_key)
if known then
    return tonumber(known)
end
-- The stream has the last id: it's never empty after the first message.
local newest = redis.call('XREVRANGE', messages, '+', '-', 'COUNT', 1)[1]
local id = newest and tonumber(string.match(newest[1], '%d+$')) + 1 or 1
redis.call('XADD', messages, 'MAXLEN', history_size, string.format('0-%d', id), 'sender', sender, 'text', text)
if dedup_key ~= '' then
    redis.call('HSET', ids, dedup_key, id)
    if redis.call('RPUSH', order, dedup_key) > tonumber(dedup_window) then
        redis.call('HDEL', ids, redis.call('LPOP', order))
    end
end
redis.call('PUBLISH', channel, cjson.encode({id, sender, text}))
return id
"""
