"""Where there is no user, there is no password to compare.

Refused by: test_refused_login
Says: for an unknown name no hash is made
"""
