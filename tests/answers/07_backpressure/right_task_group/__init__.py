"""A task group in each endpoint: one task receives, one sends, one pings, one aborts. A wrapper around the application
leads to the transport by way of `receive`.
"""
