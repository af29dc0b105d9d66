"""An id that does not exist yet is accepted, and the next messages are then taken for known.

Refused by: test_refused
Says: refuse it before accept
"""
