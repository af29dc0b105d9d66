"""Transactions with WATCH replace the script, and Redis assigns the ids of the stream's entries."""
