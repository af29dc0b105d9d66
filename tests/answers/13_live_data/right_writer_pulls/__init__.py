"""Each viewer's writer waits for an event and builds the next message when it may send it, from the number of the
sample that changed each topic. Nothing is merged when a sample arrives.
"""
