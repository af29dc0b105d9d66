"""A full queue gets a second before its member is dropped, and everybody waits with it.

Refused by: test_nobody_waits
Says: a send to the member that does not read is awaited
"""
