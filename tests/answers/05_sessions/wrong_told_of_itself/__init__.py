"""A name hears of its own coming, in its other rooms' manner: joined goes to everybody.

Refused by: test_notices
Says: a name hears of itself
"""
