"""The list is sent before the socket is a member: between the two, somebody else comes or goes.

Refused by: test_at_once
Says: the list and the notices overlap
"""
