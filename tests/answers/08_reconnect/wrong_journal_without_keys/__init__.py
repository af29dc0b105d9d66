"""After a start the keys are forgotten.

Refused by: test_journal
Says: ids, messages and keys
"""
