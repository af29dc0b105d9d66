"""A ticket is good until its time is over.

Refused by: test_ticket
Says: a ticket for the second time
"""
