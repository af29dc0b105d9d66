"""What was missed while the connection was away is not read afterwards.

Refused by: test_empty, test_restarted
Says: read from the stream what was missed
"""
