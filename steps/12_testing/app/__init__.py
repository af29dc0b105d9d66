"""Step 12, lesson: a server, and seven tests of it that find little."""
