"""The checks of step 08, one module for each TODO. `tests/checks/test_08_reconnect.py` combines them."""
