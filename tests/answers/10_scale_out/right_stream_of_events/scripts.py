"""Step 10: a Lua script for Redis. It runs a script atomically: no other command comes in between."""

PUBLISH = """
-- KEYS: last id, stream of messages, sorted set of dedup keys, stream of the events of all rooms.
-- ARGV: room, dedup key or empty, message without its id, HISTORY_SIZE, DEDUP_WINDOW, MAX_EVENTS.
if ARGV[2] ~= '' then
    local known = redis.call('ZSCORE', KEYS[3], ARGV[2])
    if known then
        return tonumber(known)
    end
end
local id = redis.call('INCR', KEYS[1])
local event = '{"type":"message","id":' .. string.format('%d', id) .. ',' .. string.sub(ARGV[3], 2)
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[4], string.format('%d-0', id), 'event', event)
if ARGV[2] ~= '' then
    redis.call('ZADD', KEYS[3], id, ARGV[2])
    redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - tonumber(ARGV[5]))
end
redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[6], '*', 'room', ARGV[1], 'id', id, 'event', event)
return id
"""
