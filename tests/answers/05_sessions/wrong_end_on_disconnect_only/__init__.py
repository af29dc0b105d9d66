"""A tab is forgotten at its disconnect, and not when sending to it failed.

Refused by: test_vanished, test_tabs, test_at_once, test_sessions
Says: WebSocketDisconnect
"""
