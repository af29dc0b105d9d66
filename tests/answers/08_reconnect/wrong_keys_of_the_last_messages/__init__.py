"""At the start the keys of the last 100 messages are read.

Refused by: test_journal
Says: the last 1000
"""
