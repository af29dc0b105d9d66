"""An object for each connection has all state that ends with it, and the client has what survives a connection."""
