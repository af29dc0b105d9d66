"""One httpx client for HTTP and, with httpx-ws, for WebSockets."""
