"""The checks of step 07, a module for each TODO; `tests/checks/test_07_backpressure.py` combines them."""
