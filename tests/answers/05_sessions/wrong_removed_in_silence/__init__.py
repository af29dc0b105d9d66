"""DELETE takes the name off the list and tells nobody.

Refused by: test_remove
Says: DELETE takes the name off the list first
"""
