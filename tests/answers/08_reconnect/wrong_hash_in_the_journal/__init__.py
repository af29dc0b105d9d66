"""The journal has hash((sender, key)) in place of the key, and another Python gets another one.

Refused by: test_journal
Says: ids, messages and keys
"""
