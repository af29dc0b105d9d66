"""The queue has a limit, but whoever sends waits until there is a place in it.

Refused by: test_stuck
Says: a send to the member that does not read is awaited
"""
