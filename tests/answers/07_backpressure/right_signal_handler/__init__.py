"""SIGTERM is heard by a handler of its own, in front of uvicorn's, which ends what is stuck a second later. Silence is
found by a timer for each tab, and numbers come from itertools.count.
"""
