"""A removed name is written down, so that its last words are ignored, and the note is never torn up.

Refused by: test_comes_back
Says: the removed name is ignored for good
"""
