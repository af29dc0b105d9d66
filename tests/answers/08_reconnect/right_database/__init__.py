"""SQLite instead of a file with lines: messages and keys are rows, and a commit comes before anything else."""
