"""The checks of step 06, a module for each TODO; `tests/checks/test_06_auth.py` combines them."""
