"""A Redis for this course alone: the real one if it is installed, else one that fakeredis plays."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .course import CourseError
from .ports import free_port
from .process import end, start_module

CHILD = Path(__file__).with_name("child")
_servers: list["RedisServer"] = []


class RedisServer:
    """A Redis in a child process, which ends with the process that started it.

    Args:
        real: whether it must be the real one, or must not; None takes what there is.
    """

    def __init__(self, *, real: bool | None = None) -> None:
        self.program = None if real is False else shutil.which("redis-server")
        if real and not self.program:
            raise CourseError("There is no redis-server here: install it, for example with apt install redis-server.")
        self._folder = tempfile.TemporaryDirectory(prefix="redis-", ignore_cleanup_errors=True)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def kind(self) -> str:
        """What it is."""
        return "redis-server" if self.program else "fakeredis"

    @property
    def url(self) -> str:
        """Its address, as BROKER takes it."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self, seconds: float = 10.0) -> None:
        """Start it again, on the same port, with what it had written to its file.

        Args:
            seconds: the longest wait for an answer.

        Raises:
            CourseError: it does not answer.
        """
        arguments = [str(self.port), self._folder.name, *([self.program] if self.program else [])]
        # A folder of its own, so that nothing of this package hides a module of the same name.
        path = os.pathsep.join(filter(None, [str(CHILD), os.environ.get("PYTHONPATH")]))
        self._process = start_module("redis_child", arguments, {"PYTHONPATH": path})
        deadline = time.monotonic() + seconds
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                end(self._process)
                said = self._process.stdout.read().decode("utf-8", "replace")
                raise CourseError(f"{self.kind} does not answer at {self.url}:\n{said[-500:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(b"*1\r\n$4\r\nPING\r\n")
                return probe.recv(100).startswith(b"+PONG")
        except OSError:
            return False

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        if self._process is not None:
            end(self._process)
            self._process.stdout.close()
            self._process = None

    def forget(self) -> None:
        """Throw away what it wrote; it must not be running."""
        shutil.rmtree(self._folder.name, ignore_errors=True)
        Path(self._folder.name).mkdir(exist_ok=True)

    def close(self) -> None:
        """End it for good."""
        self.kill()
        self._folder.cleanup()


def redis_server() -> RedisServer:
    """Start a Redis for this notebook, and print what it is; a second call starts an empty one in its place."""
    while _servers:
        _servers.pop().close()
    server = RedisServer()
    _servers.append(server)
    note = "" if server.program else ", because there is no redis-server here; it speaks the same protocol"
    print(f"{server.kind} at {server.url}{note}")
    return server
