"""Step 09, exercise: Lua scripts for Redis. It runs a script atomically: no other command comes in between."""

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
    redis.call('PUBLISH', ARGV[1], names)
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
