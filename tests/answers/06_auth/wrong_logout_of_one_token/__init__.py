"""The token that was shown is put on a list, and the others of the user go on.

Refused by: test_logout
Says: from before the logout
"""
