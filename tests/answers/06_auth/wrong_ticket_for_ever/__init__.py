"""Nobody looks when a ticket was sold.

Refused by: test_ticket_time
Says: note when a ticket ends
"""
