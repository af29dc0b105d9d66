"""What is replayed is what this process has heard since it started.

Refused by: test_killed
Says: is in a stream in Redis
"""
