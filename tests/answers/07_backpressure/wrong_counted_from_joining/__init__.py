"""The time of a silent member counts from its handshake.

Refused by: test_silence
Says: every frame is a sign of life
"""
