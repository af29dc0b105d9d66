"""A client without an Origin is no browser, and is taken for a foreign page.

Refused by: test_let_in
Says: I got    HTTP 403
"""
