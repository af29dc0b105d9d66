"""The checks of step 05: a module for each TODO."""
