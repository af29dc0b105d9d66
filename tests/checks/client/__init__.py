"""The checks of step 09, one module for each TODO. `tests/checks/test_09_client.py` combines them."""
