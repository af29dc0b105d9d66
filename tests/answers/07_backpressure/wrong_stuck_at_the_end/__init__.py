"""Who is dropped is aborted in time. Who is stuck when the server is to end is not.

Refused by: test_terminates
Says: the process still running after 3 s
"""
