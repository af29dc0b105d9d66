"""Step 11: Lua scripts for Redis. It runs a script atomically: no other command comes in between."""

PUBLISH = """
-- KEYS: last id, stream of messages, sorted set of dedup keys.
-- ARGV: channel, dedup key or empty, message without its id, HISTORY_SIZE, DEDUP_WINDOW.
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
redis.call('XADD', 'chat:events', 'MAXLEN', '~', 10000, '*', 'channel', ARGV[1], 'data', event)
return id
"""

ENSURE_LAST_ID = """
-- KEYS: last id. ARGV: an id that a process knows.
if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then
    redis.call('SET', KEYS[1], ARGV[1])
end
"""

UPDATE_PRESENCE = """
-- KEYS: members, version. ARGV: channel, process, its names as JSON, seconds until the list expires.
local changed
if ARGV[3] == '[]' then
    changed = redis.call('HDEL', KEYS[1], ARGV[2]) == 1
else
    changed = redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[3]
    redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
    redis.call('EXPIRE', KEYS[1], ARGV[4])
end
local version = tonumber(redis.call('GET', KEYS[2]) or '0')
if changed then
    version = redis.call('INCR', KEYS[2])
    local names = '{"type":"names","version":' .. string.format('%d', version)
    names = names .. ',"process":"' .. ARGV[2] .. '","names":' .. ARGV[3] .. '}'
    redis.call('XADD', 'chat:events', 'MAXLEN', '~', 10000, '*', 'channel', ARGV[1], 'data', names)
end
return {version, redis.call('HGETALL', KEYS[1])}
"""

RENEW_LEASE = """
-- KEYS: processes. ARGV: process, seconds of a lease. Returns the processes whose lease has expired.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 3600)
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
"""
