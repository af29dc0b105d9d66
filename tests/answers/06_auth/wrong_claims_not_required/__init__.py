"""PyJWT checks exp and aud where it finds them, and nobody told it that they must be there.

Refused by: test_refused
Says: PyJWT takes it unless told otherwise
"""
