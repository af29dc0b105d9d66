"""Keys are kept for the room and not for the sender.

Refused by: test_once
Says: the same key from another sender
"""
