"""/ws/{room_id} is declared first and takes /ws/announcements too: the listener becomes a member of a room.

Refused by: test_announcements
Says: taken for a member
"""
