"""Sessions as one flat set of objects; rooms and names are worked out from it."""
