"""There is no ping of its own: uvicorn pings, and every client library answers.

Refused by: test_ping
Says: goes to every member every HEARTBEAT seconds
"""
