"""The time of a ticket's socket begins when the ticket is sold.

Refused by: test_expires
Says: opened with a ticket
"""
