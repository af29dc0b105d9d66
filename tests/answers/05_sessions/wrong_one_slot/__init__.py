"""One slot for each name: the second tab takes it, and the end of the first tab deletes it.

Refused by: test_tabs
Says: a name may have several tabs
"""
