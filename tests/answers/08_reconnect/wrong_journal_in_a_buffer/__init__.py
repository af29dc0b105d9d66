"""The file has a buffer, which a kill takes along.

Refused by: test_journal
Says: a message is not in JOURNAL when it is heard
"""
