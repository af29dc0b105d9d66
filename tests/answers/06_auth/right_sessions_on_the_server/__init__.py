"""The server knows every session by the jti of its token, with its tickets; a logout ends them."""
