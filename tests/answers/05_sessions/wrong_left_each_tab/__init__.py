"""Every tab that ends is announced as gone.

Refused by: test_tabs
Says: a name may have several tabs
"""
