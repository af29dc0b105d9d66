"""The message with the id itself is replayed too.

Refused by: test_replay
Says: replays the messages with a larger id
"""
