"""The line is written a moment later, so that nobody waits for the disk.

Refused by: test_journal
Says: a message is not in JOURNAL when it is heard
"""
