"""The client asks for what comes after the last message that somebody took, and takes the rest twice.

Refused by: test_late
Says: a stop loses nothing
"""
