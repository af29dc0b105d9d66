"""The client goes on trying though it was told that it may not.

Refused by: test_stops
Says: is final: the iteration ends
"""
