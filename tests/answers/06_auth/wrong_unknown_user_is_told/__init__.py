"""Two messages, so that users know what they typed wrong.

Refused by: test_refused_login
Says: tell who is a user
"""
