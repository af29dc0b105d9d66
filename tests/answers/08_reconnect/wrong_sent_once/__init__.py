"""A message that was on its way when the connection was lost is not sent again.

Refused by: test_client
Says: what is not acknowledged is sent on each connection
"""
