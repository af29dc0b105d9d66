"""The names of a process stay until it takes them off itself.

Refused by: test_killed
Says: renews a lease
"""
