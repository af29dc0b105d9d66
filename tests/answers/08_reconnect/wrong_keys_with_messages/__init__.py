"""Keys are forgotten with the last 100 messages.

Refused by: test_many_keys
Says: keys are forgotten too soon
"""
