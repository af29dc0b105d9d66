"""Tickets are JWTs for another audience, and one task looks at all sockets ten times a second."""
