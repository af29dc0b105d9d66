"""Plain functions with threads and `websockets.sync`, and a thread that reads the server's log."""
