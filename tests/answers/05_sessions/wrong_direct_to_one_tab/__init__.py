"""A direct message reaches one tab of the name.

Refused by: test_every_tab
Says: a direct message goes to every tab of its name
"""
