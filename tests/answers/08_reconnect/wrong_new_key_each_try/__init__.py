"""A message that is sent again gets a new key.

Refused by: test_client
Says: a message that is sent again keeps its key
"""
