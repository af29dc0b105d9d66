"""What is sent in one room with a key is not passed on in another one with the same key.

Refused by: test_key
Says: rooms know nothing of each other
"""
