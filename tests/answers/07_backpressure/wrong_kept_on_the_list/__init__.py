"""A dropped member gets nothing any more, and stays on the list until its connection has ended.

Refused by: test_stuck
Says: a dropped member stays on the list
"""
