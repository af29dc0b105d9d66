"""Step 10, exercise: a Lua script for Redis. It runs a script atomically: no other command comes in between."""

# TODO 1, 3 and 4 of redis_broker.py continue in this script.

PUBLISH = """
-- KEYS: none. ARGV: channel, event.
redis.call('PUBLISH', ARGV[1], ARGV[2])
"""
