"""A message with an unknown field more is refused.

Refused by: test_message
Says: what the client wrote besides type and text counts for nothing
"""
