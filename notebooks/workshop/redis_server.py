"""A Redis server only for this course: redis-server if it's installed, otherwise fakeredis."""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import BinaryIO

from .course import CourseError
from .ports import free_port
from .process import end, start_module

LONGEST_LINE = 10_000
CHILD = Path(__file__).with_name("child")
_servers: list["RedisServer"] = []


class RedisServer:
    """A Redis server in a child process, which ends with the process that started it.

    Args:
        real: True for redis-server, False for fakeredis, None for redis-server if it's installed.
    """

    def __init__(self, *, real: bool | None = None) -> None:
        self.program = None if real is False else shutil.which("redis-server")
        if real and not self.program:
            raise CourseError("There is no redis-server here: install it, for example with apt install redis-server.")
        self._folder = tempfile.TemporaryDirectory(prefix="redis-", ignore_cleanup_errors=True)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: deque[str] = deque(maxlen=50)
        self.start()

    @property
    def kind(self) -> str:
        """The name of the program: `redis-server` or `fakeredis`."""
        return "redis-server" if self.program else "fakeredis"

    @property
    def url(self) -> str:
        """The URL of the server, for the setting BROKER."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self, seconds: float = 10.0) -> None:
        """Start the server on the same port as before, with the data from its file.

        Args:
            seconds: the longest wait for a reply, in seconds.

        Raises:
            CourseError: the server doesn't reply in that time.
        """
        arguments = [str(self.port), self._folder.name, *([self.program] if self.program else [])]
        # Use a separate folder, so that no file of this package hides a module of the same name.
        path = os.pathsep.join(filter(None, [str(CHILD), os.environ.get("PYTHONPATH")]))
        self._process = start_module("redis_child", arguments, {"PYTHONPATH": path})
        # Read the log all the time, because a full pipe would block the server.
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        deadline = time.monotonic() + seconds
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.kill()
                printed = "\n".join(self._log)
                raise CourseError(f"{self.kind} does not answer at {self.url}:\n{printed[-500:]}")
            time.sleep(0.02)

    def _read(self, output: BinaryIO) -> None:
        while raw := output.readline(LONGEST_LINE):
            self._log.append(raw.decode("utf-8", "replace").rstrip())

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(b"*1\r\n$4\r\nPING\r\n")
                return probe.recv(100).startswith(b"+PONG")
        except OSError:
            return False

    def kill(self) -> None:
        """Kill the server immediately, as a power cut does."""
        if self._process is not None:
            end(self._process)
            self._reader.join(2)
            # Skip close() if another process keeps the pipe open: it would wait for the reader.
            if not self._reader.is_alive():
                self._process.stdout.close()
            self._process = None

    def forget(self) -> None:
        """Delete the data in its file. The server must not be running."""
        shutil.rmtree(self._folder.name, ignore_errors=True)
        Path(self._folder.name).mkdir(exist_ok=True)

    def close(self) -> None:
        """Kill the server, and delete its folder."""
        self.kill()
        self._folder.cleanup()


def redis_server() -> RedisServer:
    """Start an empty Redis server for this notebook, and print its program and URL. A second call replaces it."""
    while _servers:
        _servers.pop().close()
    server = RedisServer()
    _servers.append(server)
    note = "" if server.program else ", because there is no redis-server here; it speaks the same protocol"
    print(f"{server.kind} at {server.url}{note}")
    return server
