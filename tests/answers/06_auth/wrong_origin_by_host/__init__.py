"""Only the host of an origin is looked at, and a page of another port is another page.

Refused by: test_origins
Says: another port
"""
