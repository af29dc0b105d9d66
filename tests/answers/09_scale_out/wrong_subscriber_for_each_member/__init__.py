"""Each tab has a subscription of its own, to hear of its removal.

Refused by: test_one_subscriber
Says: a subscription for each member
"""
