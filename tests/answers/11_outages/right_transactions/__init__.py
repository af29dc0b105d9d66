"""Transactions with WATCH where the solution has a script, and ids that Redis thinks up for the stream."""
