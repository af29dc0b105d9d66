"""Name and key are put behind each other, so that two senders may have the same.

Refused by: test_key
Says: by room and sender
"""
