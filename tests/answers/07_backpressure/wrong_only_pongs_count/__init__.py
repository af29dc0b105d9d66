"""Only a pong is taken for a sign of life, though a member that talks is alive.

Refused by: test_silence
Says: every frame is a sign of life
"""
