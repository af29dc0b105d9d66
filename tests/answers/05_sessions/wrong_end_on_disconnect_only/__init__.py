"""A tab is forgotten at its disconnect, and not when sending to it failed.

Refused by: test_vanished
Says: WebSocketDisconnect
"""
