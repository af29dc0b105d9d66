"""A key is looked up before the script that writes it, and another process comes in between.

Refused by: test_key, test_restarted
Says: are looked up in the same script
"""
