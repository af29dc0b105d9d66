"""chat.py asks lobby.py to announce, and lobby.py counts the rooms of chat.py.

Refused by: starts
Says: two modules import each other
"""
