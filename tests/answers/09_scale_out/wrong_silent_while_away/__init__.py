"""What cannot be sent is dropped without a word.

Refused by: test_empty
Says: publish() and send() raise Away
"""
