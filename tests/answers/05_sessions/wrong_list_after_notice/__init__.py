"""Everybody is told first, and the list comes when others have joined meanwhile.

Refused by: test_list
Says: a tab's first frame is the list of names
"""
