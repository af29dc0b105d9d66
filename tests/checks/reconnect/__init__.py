"""The checks of step 08, a module for each TODO; `tests/checks/test_08_reconnect.py` puts them together."""
