"""The checks of step 11, in modules by topic. `tests/checks/test_11_outages.py` combines them."""
