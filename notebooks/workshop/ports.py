"""Free TCP ports on 127.0.0.1, and processes that listen on a port."""

import contextlib
import random
import socket
import sys
import time

import psutil


def is_free(port: int) -> bool:
    """Return whether no process listens on this TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        if sys.platform != "win32":
            # Set it as uvicorn does, to ignore closing connections of an earlier server.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a free TCP port for a server that must know its port before it starts.

    It's below the ephemeral ports, because the operating system could assign one of those before the server binds it.
    They begin at 32768 on Linux (man 7 ip, `ip_local_port_range`), and at 49152 on Windows and macOS.
    """
    # Use the system's generator, because a test library may have seeded Python's.
    ports = random.SystemRandom()
    while True:
        port = ports.randrange(11_000, 32_768)
        if is_free(port):
            return port


def ports_of(pid: int) -> set[int]:
    """Return the TCP ports on which a process or one of its children listens.

    Args:
        pid: the process id.
    """
    ports = set()
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            for connection in each.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    ports.add(connection.laddr.port)
    return ports


def comes_to_listen(pid: int, port: int, seconds: float) -> bool:
    """Wait until a process or one of its children listens on this TCP port.

    Args:
        pid: the process id.
        port: the TCP port.
        seconds: the longest wait, in seconds.

    Returns:
        True if it listens, False if the time is up.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if port in ports_of(pid):
            return True
        time.sleep(0.01)
    return False
