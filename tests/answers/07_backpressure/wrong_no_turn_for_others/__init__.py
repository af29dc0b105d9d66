"""A queue for each tab, and no await in between: a burst fills the queues of those who read.

Refused by: test_burst
Says: uvicorn hands the endpoint many frames before another task runs
"""
