"""The replay is sent first, and the member joins when it is done: what is said meanwhile is lost.

Refused by: test_under_load
Says: something waits
"""
