"""What is replayed counts as waiting, so who comes back with much to read is dropped.

Refused by: test_late_reader
Says: the replay counts as waiting
"""
