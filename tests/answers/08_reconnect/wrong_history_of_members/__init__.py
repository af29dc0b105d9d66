"""The history of a room ends with its last member.

Refused by: test_gap
Says: does not end with its last member
"""
