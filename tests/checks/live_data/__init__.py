"""The checks of step 13, a module for each TODO or two; `tests/checks/test_13_live_data.py` combines them."""
