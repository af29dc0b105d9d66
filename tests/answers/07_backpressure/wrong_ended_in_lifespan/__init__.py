"""What is stuck is aborted when lifespan ends, but uvicorn waits for it before.

Refused by: test_terminates
Says: before lifespan hears of the end
"""
