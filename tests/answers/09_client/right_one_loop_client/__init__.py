"""The client is one loop that waits for a frame or for something to send, whichever comes first."""
