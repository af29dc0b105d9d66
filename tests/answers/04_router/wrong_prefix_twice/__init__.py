"""The prefix stands in the router and in main.py, so the rooms are at /api/chat/api/chat/ws/{room_id}.

Refused by: test_broadcast
Says: no route takes this path (look at the prefix
"""
