"""The sockets are guarded, and the routes of step 05 are as they were.

Refused by: test_routes
Says: every route of members.py needs a token
"""
