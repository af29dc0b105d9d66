"""Each user has one slot for the time limit, and a second socket takes it.

Refused by: test_logout
Says: every socket of the user is closed
"""
