"""A ticket is looked for among the tickets, and its user may have logged out since it was sold.

Refused by: test_logout
Says: look at the grant again when its ticket is used
"""
