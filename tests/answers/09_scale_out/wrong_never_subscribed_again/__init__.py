"""The listener ends with its connection.

Refused by: test_empty
Says: subscribe again
"""
