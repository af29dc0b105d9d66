"""A socket ends with the time of the ticket that opened it.

Refused by: test_ticket_time
Says: its token ends the socket
"""
