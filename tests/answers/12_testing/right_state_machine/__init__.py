"""A state machine of hypothesis for members that join, send, leave and vanish, next to plain tests."""
