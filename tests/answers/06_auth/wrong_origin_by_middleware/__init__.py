"""CORSMiddleware is for that, and never sees a WebSocket.

Refused by: test_origins
Says: compare the whole header
"""
