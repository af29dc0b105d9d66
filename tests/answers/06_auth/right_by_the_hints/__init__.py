"""The starter, finished with what stands in the last hint of each TODO."""
