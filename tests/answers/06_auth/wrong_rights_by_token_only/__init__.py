"""The right in the room is asked for where the token is read, and a ticket goes another way.

Refused by: test_rooms
Says: the same holds for tickets
"""
