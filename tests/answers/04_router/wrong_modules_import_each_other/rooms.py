"""The rooms are in chat.py, the announcements in lobby.py."""
