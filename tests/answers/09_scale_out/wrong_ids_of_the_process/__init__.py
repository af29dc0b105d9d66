"""Each process counts on from the last id that it has heard.

Refused by: test_everybody
Says: messages 1 to 62
"""
