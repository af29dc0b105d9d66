"""A message goes directly to each connection that takes it now, without a queue and a switch to another task. It's
queued for the others only, and for all under a server other than uvicorn.
"""
