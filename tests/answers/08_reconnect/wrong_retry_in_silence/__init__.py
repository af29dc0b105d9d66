"""A key that is known is ignored, without an acknowledgement.

Refused by: test_once
Says: look it up before anything else
"""
