"""A key is known by itself, whoever sent it.

Refused by: test_key
Says: 175 messages
"""
