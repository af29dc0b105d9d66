"""The client asks for what comes after the last message that somebody took, and takes the rest twice.

Refused by: test_late
Says: what is in the inbox must not be asked for again
"""
