"""A task group in each endpoint: one task reads, one writes, one counts the time. A wrapper around the application, and
weak references, lead to the transport.
"""
