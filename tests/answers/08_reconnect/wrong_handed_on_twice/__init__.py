"""What the server sends again is handed on again.

Refused by: test_client
Says: what was handed on before is handed on again
"""
