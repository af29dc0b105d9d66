"""The name is measured in bytes, so a Korean one of 7 characters is too long.

Refused by: test_names
Says: count characters, not bytes
"""
