"""A signal handler of its own, which SIGTERM reaches before uvicorn's, aborts stuck connections a second later. A timer
for each tab finds silent members, another one clients that read nothing, and itertools.count numbers the messages.
"""
