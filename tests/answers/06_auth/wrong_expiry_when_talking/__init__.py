"""The time is looked at with each message, so who is silent stays.

Refused by: test_expires
Says: on a socket that is silent
"""
