"""DELETE closes the tabs at the process that was asked.

Refused by: test_direct_and_remove
Says: tell every process
"""
