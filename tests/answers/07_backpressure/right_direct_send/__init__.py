"""A message goes directly to each connection that takes it now, without a queue and a task switch in between, which
halves the cost of a broadcast. Only for the others it's queued.
"""
