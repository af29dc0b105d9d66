"""The lease and its interval are the defaults, whatever the environment says.

Refused by: test_killed
Says: Take LEASE_TTL and LEASE_RENEW_INTERVAL from settings.py
"""
