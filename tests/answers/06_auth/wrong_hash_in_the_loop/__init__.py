"""The endpoint is a coroutine, and the hash is made in it.

Refused by: test_hash_aside
Says: the hash is made in the event loop
"""
