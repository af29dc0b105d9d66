"""A frame that cannot be read is no sign of life.

Refused by: test_silence
Says: every frame is a sign of life
"""
