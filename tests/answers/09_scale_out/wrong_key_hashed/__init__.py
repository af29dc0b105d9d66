"""A key is known by its hash(), which is another one at another machine.

Refused by: test_key
Says: hash() gives another number
"""
