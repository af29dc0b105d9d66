"""A reader may not send messages to the room, and nobody thought of direct ones.

Refused by: test_reader
Says: Grace may only read in the lab
"""
