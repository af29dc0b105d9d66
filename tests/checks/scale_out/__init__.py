"""The checks of step 09, a module for each TODO; `tests/checks/test_09_scale_out.py` puts them together."""
