"""An empty text is taken for no text.

Refused by: test_message
Says: everybody in the room
"""
