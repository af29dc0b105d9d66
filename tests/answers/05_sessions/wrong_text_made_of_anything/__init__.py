"""str() makes a text of whatever the client sent.

Refused by: test_bad
Says: each bad frame is answered
"""
