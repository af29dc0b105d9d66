"""A listener is read with receive_text(), which raises KeyError on a binary frame.

Refused by: test_listeners
Says: receive_text() raises KeyError on a binary frame
"""
