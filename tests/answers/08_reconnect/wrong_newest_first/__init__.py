"""What is said while there is no connection goes out before what waits.

Refused by: test_client
Says: in the order of the calls
"""
