"""While Redis is away, a room looks empty to whoever comes.

Refused by: test_empty
Says: read() and present() raise Away too
"""
