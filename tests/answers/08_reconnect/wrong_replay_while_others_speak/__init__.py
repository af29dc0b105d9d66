"""The replay waits between its frames, and what is said meanwhile comes in between.

Refused by: test_under_load
Says: something waits
"""
