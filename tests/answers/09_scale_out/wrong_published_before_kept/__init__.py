"""The message is published first and kept afterwards, in steps of their own.

Refused by: test_everybody
Says: one step in Redis
"""
