"""The list is made before the new member is on it.

Refused by: test_list
Says: a tab's first frame is the list of names
"""
