"""TCP ports of 127.0.0.1: which one is free, and which one stays so until it is used."""

import contextlib
import random
import socket
import sys
import time

import psutil


def is_free(port: int) -> bool:
    """Whether nobody listens on this TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        if sys.platform != "win32":
            # As uvicorn does, so that connections of an earlier server, still closing, do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A free TCP port for a server that has to know it beforehand.

    It is below those from which a system serves whoever asks for any, which could be gone before the server has it.
    Linux takes them from 32768 on (man 7 ip, `ip_local_port_range`), Windows and macOS from 49152 on.
    """
    # The system's own chance: a library for tests may have seeded that of Python.
    ports = random.SystemRandom()
    while True:
        port = ports.randrange(11_000, 32_768)
        if is_free(port):
            return port


def comes_to_listen(pid: int, port: int, seconds: float) -> bool:
    """Wait until a process, or one of its children, takes connections on this TCP port.

    Args:
        pid: of the process.
        port: the port that it's to listen on.
        seconds: the longest wait.

    Returns:
        Whether it does.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for each in (process, *process.children(recursive=True)):
                for connection in each.net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                        return True
        time.sleep(0.01)
    return False
