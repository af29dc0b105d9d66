"""A defaultdict makes the room that somebody asks about.

Refused by: test_members
Says: asking must not make it
"""
