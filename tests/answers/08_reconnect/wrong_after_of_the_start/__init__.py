"""Each connect asks from where the client began.

Refused by: test_client
Says: each connect asks for after= the last id
"""
