"""The checks of step 10, in modules by topic. `tests/checks/test_10_scale_out.py` combines them."""
