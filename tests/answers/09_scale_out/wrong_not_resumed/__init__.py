"""When the subscription is there again, nobody asks what was missed before the next message.

Refused by: test_empty
Says: read from the stream what was missed
"""
