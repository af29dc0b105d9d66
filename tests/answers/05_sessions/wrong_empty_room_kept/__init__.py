"""A room stays when its last member has left.

Refused by: test_members
Says: an empty room is kept
"""
