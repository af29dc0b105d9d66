"""DELETE closes without a reason.

Refused by: test_remove
Says: another code or reason
"""
