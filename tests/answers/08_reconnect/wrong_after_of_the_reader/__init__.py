"""The client asks for what comes after the last message that somebody took, and takes the rest twice.

Refused by: test_client
Says: what was handed on before is handed on again
"""
