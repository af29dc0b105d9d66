"""A number for each user that goes up with a logout, a task that watches each socket, tickets with a deadline."""
