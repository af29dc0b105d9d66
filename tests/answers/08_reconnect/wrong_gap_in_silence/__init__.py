"""What is no longer kept is missing without a word.

Refused by: test_gap
Says: says how many between after and them are lost
"""
