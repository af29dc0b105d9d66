"""join() is called and not awaited, so nobody is ever in a room.

Refused by: test_broadcast
Says: await is missing before the call of join()
"""
