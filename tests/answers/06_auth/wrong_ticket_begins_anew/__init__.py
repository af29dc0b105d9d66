"""Who comes with a ticket stays as long as one who has logged in at that moment.

Refused by: test_expires
Says: opened with a ticket
"""
