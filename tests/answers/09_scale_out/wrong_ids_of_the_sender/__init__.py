"""A process knows the largest id of what it has published, and not of what it has heard.

Refused by: test_empty
Says: knows no ids
"""
