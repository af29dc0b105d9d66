"""The end cancels the task and does not wait for it.

Refused by: test_ends
Says: end every task and await it
"""
