"""The socket's parameter has no annotation, so FastAPI looks for it in the query and refuses with 403.

Refused by: test_broadcast
Says: or websocket has no annotation WebSocket
"""
