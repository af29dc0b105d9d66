"""A ticket is taken away when its holder is let in, so one that is refused can be tried at the next door.

Refused by: test_rooms
Says: a ticket is used up when it is looked at
"""
