"""As many keys are kept as messages.

Refused by: test_key
Says: by room and sender
"""
