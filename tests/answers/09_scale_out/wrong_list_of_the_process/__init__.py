"""The list of members has those of this process.

Refused by: test_members
Says: those of all processes
"""
