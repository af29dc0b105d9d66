"""One list of everything for each room; what is kept is worked out from it."""
