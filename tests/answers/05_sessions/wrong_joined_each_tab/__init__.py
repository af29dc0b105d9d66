"""Every new tab is announced, as if somebody else had come.

Refused by: test_tabs
Says: a name may have several tabs
"""
