"""include_router() is given the module instead of the router in it.

Refused by: starts
Says: include_router() was given the module
"""
