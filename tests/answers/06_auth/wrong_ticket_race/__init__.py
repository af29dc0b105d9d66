"""The ticket is looked up, and taken away a moment later.

Refused by: test_six_at_once
Says: six handshakes with the same ticket, at once
"""
