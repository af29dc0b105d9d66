"""Step 12: clients for your tests. `small_buffers` is for the hard cases."""

import socket
from urllib.parse import urlsplit

from websockets.asyncio.client import connect


def small_buffers(url: str, timeout: float) -> connect:
    """Return a client that buffers little, so a server that sends to it waits soon after it stops reading.

    Use it as `async with small_buffers(url, 2) as linus`, and stop its reading with `linus.transport.pause_reading()`.

    Args:
        url: the address of the WebSocket.
        timeout: the longest wait for the handshake, and for the close, in seconds.
    """
    address = urlsplit(url)
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    # This blocks the event loop, but not for long: the server's operating system accepts the connection.
    small.settimeout(timeout)
    small.connect((address.hostname, address.port))
    return connect(url, sock=small, compression=None, open_timeout=timeout, close_timeout=timeout)
