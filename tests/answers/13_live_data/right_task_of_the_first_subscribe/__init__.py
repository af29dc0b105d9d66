"""The first subscribe starts the producer's task, which ends by itself. Requests are dataclasses."""
