"""The task that renews the lease ends with the first outage.

Refused by: test_long_outage, test_restarted
Says: the task that renews the lease, and tells who is here, goes on
"""
