"""The checks of step 09, in modules by topic. `tests/checks/test_09_scale_out.py` combines them."""
