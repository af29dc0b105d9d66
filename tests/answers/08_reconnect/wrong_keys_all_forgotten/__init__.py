"""When there are too many keys, all are forgotten.

Refused by: test_many_keys
Says: keys are forgotten too soon
"""
