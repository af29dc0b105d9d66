"""The sender gets its own message first, for it waits for it, and the others after the next turn.

Refused by: test_order
Says: the order differs when something is awaited between two members
"""
